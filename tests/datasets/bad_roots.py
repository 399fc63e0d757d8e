"""Roots with one thing wrong (or odd) each; `bad_roots.txt` says what comes of it."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from datasets.phantoms.files import build_geometry

SHAPE = (4, 5, 6)  # (D, H, W)
SPACING_MM = (3.0, 2.0, 1.5)
TRAINING = "BraTS20_Training_001"
ROLES = ("flair", "t1ce", "t1", "t2")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"
SCENARIOS: dict[
    str, tuple[str, Callable[[Path], None]]
] = {}  # name -> data set, how the root is made
Scenario = Callable[[Path], None]


def scenario(dataset: str) -> Callable[[Scenario], Scenario]:
    """Enter a function into the list under its name."""

    def enter(make: Scenario) -> Scenario:
        SCENARIOS[make.__name__] = (dataset, make)
        return make

    return enter


def scan() -> np.ndarray:
    """Return intensities, int16 (D, H, W), all different."""
    return np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


def truth(*values: float) -> np.ndarray:
    """Return a label (D, H, W) with these values, uint8 unless one is no integer."""
    label = np.zeros(
        SHAPE,
        dtype=np.uint8
        if all(float(value).is_integer() and value >= 0 for value in values)
        else np.float32,
    )
    for place, value in enumerate(values):
        label[1, 1, place] = value
    return label


def save(
    path: Path,
    array: np.ndarray,
    codes: str = "LPS",
    spacing_mm: tuple[float, float, float] = SPACING_MM,
) -> Path:
    """Store a canonical array in a file whose axes have the codes."""
    geometry = build_geometry(array.shape[:3], codes, spacing_mm)
    stored = geometry.to_stored(array) if array.ndim == 3 else array
    return save_stored(path, stored, geometry.affine)


def save_stored(path: Path, stored: np.ndarray, affine: np.ndarray | None) -> Path:
    """Store an array as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(stored, affine), path)
    return path


def glioma(
    root: Path,
    case: str = TRAINING,
    *,
    values: tuple[int, ...] = (1, 2, 4),
    extension: str = "nii.gz",
) -> None:
    """Write a whole case of BraTS up to 2021."""
    for role in ROLES:
        save(root / case / f"{case}_{role}.{extension}", scan())
    if values:
        save(root / case / f"{case}_seg.{extension}", truth(*values))


def glioma2023(
    root: Path, case: str = "BraTS-GLI-00001-000", values: tuple[int, ...] = (1, 2, 3)
) -> None:
    """Write a whole case of BraTS 2023 or 2024."""
    for role in ("t2f", "t1c", "t1n", "t2w"):
        save(root / case / f"{case}-{role}.nii.gz", scan())
    save(root / case / f"{case}-seg.nii.gz", truth(*values))


def kidney(root: Path, case: str = "case_00001", codes: str = "IPL") -> None:
    """Write a whole case of KiTS19."""
    save(root / "kits19" / case / "imaging.nii.gz", scan(), codes)
    save(root / "kits19" / case / "segmentation.nii.gz", truth(1, 2), codes)


def liver(root: Path, number: int = 1, spacing_mm: tuple[float, float, float] = SPACING_MM) -> None:
    """Write a whole case of LiTS."""
    save(root / f"volume-{number}.nii", scan(), "LPS", spacing_mm)
    save(root / f"segmentation-{number}.nii", truth(1, 2), "LPS", spacing_mm)


def t1_of(root: Path) -> Path:
    return root / TRAINING / f"{TRAINING}_t1.nii.gz"


def seg_of(root: Path) -> Path:
    return root / TRAINING / f"{TRAINING}_seg.nii.gz"


def volume_of(root: Path) -> Path:
    return root / "volume-1.nii"


def label_of(root: Path) -> Path:
    return root / "segmentation-1.nii"


# The root as a whole


@scenario("brats")
def no_folder(root: Path) -> None:
    root.rmdir()


@scenario("brats")
def a_file_instead_of_a_folder(root: Path) -> None:
    root.rmdir()
    root.touch()


@scenario("brats")
def empty_root(root: Path) -> None:
    pass


@scenario("kits")
def nothing_but_clutter(root: Path) -> None:
    for name in (
        ".DS_Store",
        "kits.json",
        "notes.csv",
        "case_00001/._imaging.nii.gz",
        "__MACOSX/case_00001/imaging.nii.gz",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


@scenario("lits")
def labels_alone(root: Path) -> None:
    liver(root)
    volume_of(root).unlink()


@scenario("kits")
def clone_without_images(root: Path) -> None:
    kidney(root)
    (root / "kits19/case_00001/imaging.nii.gz").unlink()


@scenario("brats")
def two_releases(root: Path) -> None:
    glioma(root)
    glioma(root, "BraTS2021_00000")


@scenario("brats")
def two_releases_with_hyphens(root: Path) -> None:
    glioma2023(root)
    glioma2023(root, "BraTS-GLI-00001-100", (1, 2, 3, 4))


@scenario("kits")
def majority_votes_beside_kits19(root: Path) -> None:
    kidney(root)
    kidney(root, "case_00002")
    folder = root / "kits19/case_00002"
    (folder / "segmentation.nii.gz").rename(folder / "aggregated_MAJ_seg.nii.gz")


@scenario("kits")
def release_that_names_do_not_tell(root: Path) -> None:
    kidney(root)
    (root / "kits19").rename(root / "data")


@scenario("brats")
def clutter_beside_cases(root: Path) -> None:
    glioma(root)
    for name in (
        ".DS_Store",
        "name_mapping.csv",
        f"{TRAINING}/._{TRAINING}_t1.nii.gz",
        "__MACOSX/BraTS2021_00000_t1.nii",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


@scenario("brats")
def deep_and_linked(root: Path) -> None:
    glioma(root / ".store" / "a", extension="nii")
    (root / "x" / "y").mkdir(parents=True)
    (root / "x" / "y" / "link").symlink_to(root / ".store" / "a")
    (root / "x" / "y" / "loop").symlink_to(root)


# Files that are missing, doubled, or in the wrong place


@scenario("brats")
def modality_missing(root: Path) -> None:
    glioma(root)
    t1_of(root).unlink()


@scenario("brats")
def label_missing_in_training(root: Path) -> None:
    glioma(root, values=())


@scenario("brats")
def validation_case(root: Path) -> None:
    glioma(root)
    glioma(root, "BraTS20_Validation_001", values=())


@scenario("kits")
def kits19_case_without_public_label(root: Path) -> None:
    kidney(root)
    kidney(root, "case_00210")
    (root / "kits19/case_00210/segmentation.nii.gz").unlink()


@scenario("kits")
def kits19_case_whose_label_is_public(root: Path) -> None:
    kidney(root)
    kidney(root, "case_00209")
    (root / "kits19/case_00209/segmentation.nii.gz").unlink()


@scenario("lits")
def more_labels_than_volumes(root: Path) -> None:
    liver(root)
    save(root / "segmentation-99.nii", truth(1))


@scenario("brats")
def packed_and_unpacked(root: Path) -> None:
    glioma(root)
    save(t1_of(root).with_suffix(""), scan())


@scenario("brats")
def two_copies_of_a_volume(root: Path) -> None:
    glioma(root)
    save(root / "copy" / t1_of(root).name, scan())


@scenario("brats")
def old_and_new_name_of_a_modality(root: Path) -> None:
    glioma(root)
    save(t1_of(root).with_name(f"{TRAINING}_t1c.nii.gz"), scan())


@scenario("brats")
def old_names_of_modalities(root: Path) -> None:
    glioma(root)
    for old, new in (("fla", "flair"), ("t1c", "t1ce")):
        t1_of(root).with_name(f"{TRAINING}_{new}.nii.gz").rename(
            t1_of(root).with_name(f"{TRAINING}_{old}.nii.gz")
        )


@scenario("brats")
def file_of_another_case(root: Path) -> None:
    glioma(root)
    glioma(root, "BraTS20_Training_002")
    name = "BraTS20_Training_002_t1.nii.gz"
    (root / "BraTS20_Training_002" / name).rename(root / TRAINING / name)


@scenario("brats")
def misnamed_label_355(root: Path) -> None:
    glioma(root, "BraTS20_Training_355", extension="nii")
    folder = root / "BraTS20_Training_355"
    (folder / "BraTS20_Training_355_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")


@scenario("kits")
def unpadded_id(root: Path) -> None:
    kidney(root, "case_12")


@scenario("kits")
def padded_and_unpadded_id(root: Path) -> None:
    kidney(root, "case_12")
    kidney(root, "case_00012")


# Files that cannot be read


@scenario("brats")
def dangling_link(root: Path) -> None:
    glioma(root)
    t1_of(root).unlink()
    t1_of(root).symlink_to(root / "nowhere.nii.gz")


@scenario("lits")
def dangling_link_of_a_label(root: Path) -> None:
    liver(root)
    label_of(root).unlink()
    label_of(root).symlink_to("nowhere.nii")


@scenario("brats")
def empty_volume(root: Path) -> None:
    glioma(root)
    t1_of(root).write_bytes(b"")


@scenario("brats")
def empty_label(root: Path) -> None:
    glioma(root)
    seg_of(root).write_bytes(b"")


@scenario("brats")
def lfs_pointer(root: Path) -> None:
    glioma(root)
    t1_of(root).write_bytes(LFS)


@scenario("lits")
def lfs_pointer_without_gz(root: Path) -> None:
    liver(root)
    volume_of(root).write_bytes(LFS)


@scenario("brats")
def web_page(root: Path) -> None:
    glioma(root)
    t1_of(root).write_bytes(b"<!DOCTYPE html><title>Quota exceeded</title>")


@scenario("brats")
def plain_file_named_gz(root: Path) -> None:
    glioma(root)
    t1_of(root).write_bytes(gzip.decompress(t1_of(root).read_bytes()))


@scenario("lits")
def packed_file_not_named_gz(root: Path) -> None:
    liver(root)
    volume_of(root).write_bytes(gzip.compress(volume_of(root).read_bytes(), mtime=0))


def _packed_liver(root: Path) -> Path:
    """Write a case whose volume is long enough to be packed into several blocks; return that file."""
    noise = np.random.default_rng(0).integers(0, 1000, (40, 50, 60)).astype(np.int16)
    save(root / "segmentation-1.nii", (noise > 900).astype(np.uint8))
    return save(root / "volume-1.nii.gz", noise)


@scenario("lits")
def cut_gzip(root: Path) -> None:
    path = _packed_liver(root)
    path.write_bytes(path.read_bytes()[:-20])


@scenario("lits")
def wrong_checksum(root: Path) -> None:
    path = _packed_liver(root)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)


@scenario("brats")
def gzip_cut_within_the_header(root: Path) -> None:
    glioma(root)
    t1_of(root).write_bytes(t1_of(root).read_bytes()[:40])


@scenario("brats")
def label_with_a_wrong_checksum(root: Path) -> None:
    glioma(root)
    content = bytearray(seg_of(root).read_bytes())
    content[-8] ^= 1
    seg_of(root).write_bytes(content)


@scenario("lits")
def cut_volume(root: Path) -> None:
    liver(root)
    volume_of(root).write_bytes(volume_of(root).read_bytes()[:-7])


@scenario("lits")
def random_bytes(root: Path) -> None:
    liver(root)
    volume_of(root).write_bytes(bytes(range(256)) * 4)


@scenario("lits")
def another_format(root: Path) -> None:
    liver(root)
    nib.save(nib.MGHImage(scan().astype(np.float32), np.eye(4)), root / "x.mgh")
    volume_of(root).write_bytes((root / "x.mgh").read_bytes())


# What voxels hold


@scenario("lits")
def label_with_rounding_noise(root: Path) -> None:
    liver(root)
    save(label_of(root), truth(0.9995, 2.0004))


@scenario("lits")
def interpolated_label(root: Path) -> None:
    liver(root)
    save(label_of(root), truth(1, 1.5, 0.25))


@scenario("brats")
def three_in_brats2020(root: Path) -> None:
    glioma(root, values=(1, 2, 3, 4))


@scenario("brats")
def four_in_brats2023(root: Path) -> None:
    glioma2023(root, values=(1, 2, 4))


@scenario("brats")
def three_in_brats2023(root: Path) -> None:
    glioma2023(root)


@scenario("lits")
def negative_label(root: Path) -> None:
    liver(root)
    save(label_of(root), truth(1, -1))


@scenario("lits")
def label_with_nan(root: Path) -> None:
    liver(root)
    save(label_of(root), truth(1, np.nan))


@scenario("lits")
def uint16_label(root: Path) -> None:
    liver(root)
    save(label_of(root), truth(1, 2).astype(np.uint16))


@scenario("lits")
def label_all_background(root: Path) -> None:
    liver(root)
    save(label_of(root), truth())


@scenario("lits")
def nan_in_a_volume(root: Path) -> None:
    liver(root)
    values = scan().astype(np.float32)
    values[0, 0, :3] = np.nan
    save(volume_of(root), values)


@scenario("lits")
def infinity_in_a_volume(root: Path) -> None:
    liver(root)
    values = scan().astype(np.float32)
    values[0, 0, 0] = -np.inf
    save(volume_of(root), values)


@scenario("lits")
def complex_numbers(root: Path) -> None:
    liver(root)
    save(volume_of(root), scan().astype(np.complex64))


@scenario("lits")
def colours(root: Path) -> None:
    liver(root)
    save_stored(
        volume_of(root),
        np.zeros((6, 5, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]),
        np.eye(4),
    )


@scenario("lits")
def two_time_points(root: Path) -> None:
    liver(root)
    save(volume_of(root), np.stack([scan().T] * 2, axis=-1))


@scenario("lits")
def trailing_axis_of_one(root: Path) -> None:
    liver(root)
    for path in (volume_of(root), label_of(root)):
        image = nib.load(path)
        save_stored(path, np.array(image.dataobj)[..., None], image.affine)


@scenario("lits")
def two_axes(root: Path) -> None:
    liver(root)
    save_stored(volume_of(root), np.zeros((6, 5), dtype=np.int16), np.eye(4))


@scenario("lits")
def big_endian(root: Path) -> None:
    liver(root)
    image = nib.load(volume_of(root))
    header = image.header.as_byteswapped(">")
    nib.save(nib.Nifti1Image(np.array(image.dataobj), image.affine, header), volume_of(root))
    assert nib.load(volume_of(root)).header.endianness == ">"


@scenario("lits")
def slope_of_zero(root: Path) -> None:
    liver(root)
    content = bytearray(volume_of(root).read_bytes())
    content[112:116] = np.float32(0).tobytes()  # scl_slope
    volume_of(root).write_bytes(content)


@scenario("lits")
def double_precision(root: Path) -> None:
    liver(root)
    save(volume_of(root), scan().astype(np.float64))


@scenario("lits")
def absurd_hounsfield_units(root: Path) -> None:
    liver(root)
    values = scan().astype(np.float32)
    values[0, 0, :2] = (-1e6, 60000)
    save(volume_of(root), values)


@scenario("brats")
def constant_modality(root: Path) -> None:
    glioma(root)
    save(t1_of(root), np.full(SHAPE, 7, dtype=np.int16))


@scenario("brats")
def one_file_with_three_channels(root: Path) -> None:
    save_stored(
        root / "imagesTr/BRATS_001.nii.gz", np.zeros((6, 5, 4, 3), dtype=np.int16), np.eye(4)
    )
    save_stored(root / "labelsTr/BRATS_001.nii.gz", truth(1, 2, 3).T, np.eye(4))


# Where voxels lie


def _reorder(path: Path) -> None:
    """Store a volume from head to feet first, with the affine that says so."""
    image = nib.load(path)
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.orientations.axcodes2ornt("IPL")
    )
    turned = image.as_reoriented(turn)
    save_stored(path, np.array(turned.dataobj), turned.affine)


def _change_header(path: Path, change: Callable[[nib.Nifti1Header], None]) -> None:
    image = nib.load(path)
    header, stored = image.header.copy(), np.array(image.dataobj)
    header["vox_offset"] = 352  # nibabel's copy says 0
    change(header)
    path.write_bytes(header.binaryblock + bytes(4) + stored.tobytes(order="F"))


def _forget_orientation(header: nib.Nifti1Header) -> None:
    header["sform_code"] = header["qform_code"] = 0


def _set_affine(path: Path, affine: np.ndarray) -> None:
    def change(header: nib.Nifti1Header) -> None:
        for row, name in zip(affine, ("srow_x", "srow_y", "srow_z"), strict=False):
            header[name] = row
        header["sform_code"], header["qform_code"] = 1, 0

    _change_header(path, change)


@scenario("lits")
def affine_of_zeros(root: Path) -> None:
    liver(root)
    _set_affine(volume_of(root), np.zeros((4, 4)))


@scenario("lits")
def affine_with_nan(root: Path) -> None:
    liver(root)
    _set_affine(volume_of(root), np.full((4, 4), np.nan))


@scenario("lits")
def affine_with_parallel_axes(root: Path) -> None:
    liver(root)
    _set_affine(
        volume_of(root), np.array([[1.0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    )


@scenario("lits")
def voxels_within_the_header(root: Path) -> None:
    liver(root)
    _change_header(volume_of(root), lambda header: header.__setitem__("vox_offset", 0))


@scenario("lits")
def no_orientation(root: Path) -> None:
    liver(root)
    for path in (volume_of(root), label_of(root)):
        _change_header(path, _forget_orientation)


@scenario("lits")
def label_of_another_shape(root: Path) -> None:
    liver(root)
    save(label_of(root), np.pad(truth(1, 2), ((0, 1), (0, 0), (0, 0))))


@scenario("lits")
def label_of_another_spacing(root: Path) -> None:
    liver(root)
    save(label_of(root), truth(1, 2), "LPS", (3.5, 2.0, 1.5))


@scenario("lits")
def label_with_the_identity_as_header(root: Path) -> None:
    liver(root)
    save_stored(label_of(root), np.array(nib.load(label_of(root)).dataobj), np.eye(4))


@scenario("lits")
def label_in_another_order(root: Path) -> None:
    liver(root)
    _reorder(label_of(root))


@scenario("brats")
def modality_of_another_shape(root: Path) -> None:
    glioma(root)
    save(t1_of(root), scan()[:3])


@scenario("brats")
def modality_of_another_spacing(root: Path) -> None:
    glioma(root)
    save(t1_of(root), scan(), "LPS", (3.0, 2.0, 1.6))


@scenario("brats")
def modality_of_another_orientation(root: Path) -> None:
    glioma(root)
    save(t1_of(root), scan(), "RAS")


@scenario("brats")
def modality_in_another_order(root: Path) -> None:
    glioma(root)
    _reorder(t1_of(root))


@scenario("brats")
def modality_of_another_origin(root: Path) -> None:
    glioma(root)
    affine = nib.load(t1_of(root)).affine.copy()
    affine[:3, 3] += 5
    save_stored(t1_of(root), np.array(nib.load(t1_of(root)).dataobj), affine)


@scenario("lits")
def spacing_that_nobody_knows(root: Path) -> None:
    liver(root, 28, (1.0, 1.0, 1.0))


@scenario("lits")
def spacing_mended_by_the_user(root: Path) -> None:
    liver(root, 28)


@scenario("kits")
def converted_kits(root: Path) -> None:
    kidney(root, codes="RAS")


@scenario("kits")
def appended_phase(root: Path) -> None:
    kidney(root)
    save(root / "kits19/case_00001/imaging.nii.gz", np.concatenate([scan(), scan()]), "IPL")


@scenario("brats")
def three_cases_each_with_its_fault(root: Path) -> None:
    for number in range(1, 5):
        glioma(root, f"BraTS20_Training_{number:03d}")
    empty_volume_path = root / "BraTS20_Training_002/BraTS20_Training_002_t2.nii.gz"
    empty_volume_path.write_bytes(b"")
    (root / "BraTS20_Training_003/BraTS20_Training_003_flair.nii.gz").write_bytes(LFS)
    shutil.copy(t1_of(root), root / "BraTS20_Training_004/BraTS20_Training_004_seg.nii.gz")
