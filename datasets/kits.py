"""KiTS: contrast-enhanced CT of kidneys with a tumour, stored (z, y, x) from head to feet.

KiTS19 is contained in KiTS21, and that in KiTS23; cysts are kidney in the first and a class in the
other two. Intensities are clipped and scaled with the constants of MLPerf's KiTS19 benchmark
(mlcommons/training): clip range, mean and standard deviation in Hounsfield units.
"""

from dataclasses import replace

from datasets.base import Region, Release, Window
from datasets.layouts.released import ReleasedDataset

FLAT_VOLUME = r"(?P<role>images)/case_(?P<number>\d+)"  # as the imaging repository has them
CLONE_HINT = "; a clone of the repository holds labels alone until its download script has run"
TUMOUR = Region("tumour", (2,))
FAULTY_2019 = frozenset(f"case_{number:05d}" for number in (15, 23, 37, 68, 125, 133))

KITS19 = Release(
    name="kits19",
    title="KiTS19",
    files=(r"case_(?P<number>\d+)/(?P<role>imaging|segmentation)", FLAT_VOLUME),
    case_id="case_{number:05d}",
    channels={"ct": ("imaging", "images")},
    label_roles=("segmentation",),
    classes=("background", "kidney", "tumour"),
    label_values=(0, 1, 2),
    regions=(Region("kidney", (1, 2)), TUMOUR),
    layout="case_00000/{imaging,segmentation}.nii[.gz] at any depth",
    clue=r"(?i)kits-?_?(?:20)?19|(?:^|/)kits\.json$",
    expects_label=r"^case_00(?:[01]\d\d|20\d) ",
    no_image_hint=CLONE_HINT,
    orientation="IPL",
    # Isensee's list of doubtful labels, four of which have been corrected since:
    exclude={"nnunet2019": FAULTY_2019},
)
KITS23 = replace(
    KITS19,
    name="kits23",
    title="KiTS23",
    classes=("background", "kidney", "tumour", "cyst"),
    label_values=(0, 1, 2, 3),
    regions=(Region("kidney_and_masses", (1, 2, 3)), Region("masses", (2, 3)), TUMOUR),
    clue=r"(?i)kits-?_?(?:20)?23|(?:^|/)case_\d+/instances/|(?:^|/)case_00[3-9]\d\d/",
    expects_label=r"^case_00(?:[0-2]\d\d|4\d\d|5[0-7]\d|58[0-8]) ",
    exclude={},
)
KITS21 = replace(
    KITS23,
    name="kits21",
    title="KiTS21",
    files=(r"case_(?P<number>\d+)/(?P<role>imaging|aggregated_MAJ_seg)", FLAT_VOLUME),
    label_roles=("aggregated_maj_seg",),
    layout="case_00000/{imaging,aggregated_MAJ_seg}.nii[.gz] at any depth",
    clue=r"(?i)kits-?_?(?:20)?21|(?:^|/)aggregated_(?:OR|AND|MAJ)_seg",
    expects_label=r"^case_00[0-2]\d\d ",
)


class Kits(ReleasedDataset):
    """Kidneys; about 512 x 512 in plane, slices of 0.5 to 5 mm."""

    name = "kits"
    reference = (
        "Heller et al. 2021, Medical Image Analysis 67:101821; Heller et al. 2023, arXiv 2307.01984"
    )
    modality = "CT"
    window = Window(low_hu=-79.0, high_hu=304.0, mean_hu=101.0, std_hu=76.9)
    releases = (KITS19, KITS21, KITS23)
