"""Small whole cases of each data set, and the list of bad roots that other files make of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from datasets.phantoms.files import build_geometry

SHAPE = (4, 5, 6)  # (D, H, W)
SPACING_MM = (3.0, 2.0, 1.5)
TRAINING = "BraTS20_Training_001"
ROLES = ("flair", "t1ce", "t1", "t2")
NEW_ROLES = {"t2f": "flair", "t1c": "t1ce", "t1n": "t1", "t2w": "t2"}
BRAIN_MM = (1.0, 1.0, 1.0)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"
Scenario = Callable[[Path], None]
SCENARIOS: dict[str, tuple[str, Scenario]] = {}  # name -> data set, how the root is made


def scenario(dataset: str) -> Callable[[Scenario], Scenario]:
    """Enter a function into the list under its name."""

    def enter(make: Scenario) -> Scenario:
        SCENARIOS[make.__name__] = (dataset, make)
        return make

    return enter


def scan() -> np.ndarray:
    """Return Hounsfield units with air, int16 (D, H, W), all different."""
    return np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) * 10 - 700


def brain(role: str = "flair") -> np.ndarray:
    """Return a modality without a skull, int16 (D, H, W): 0 outside, and all different inside."""
    values = scan() + 1000 + NEW_ROLES.get(role, role).encode()[-1]
    values[:, 3:] = 0
    return values.astype(np.int16)


def truth(*values: float) -> np.ndarray:
    """Return a label (D, H, W) with these values, uint8 unless one is no integer."""
    is_plain = all(float(value).is_integer() and value >= 0 for value in values)
    label = np.zeros(SHAPE, dtype=np.uint8 if is_plain else np.float32)
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
        save(root / case / f"{case}_{role}.{extension}", brain(role), spacing_mm=BRAIN_MM)
    if values:
        save(root / case / f"{case}_seg.{extension}", truth(*values), spacing_mm=BRAIN_MM)


def glioma2023(
    root: Path, case: str = "BraTS-GLI-00001-000", values: tuple[int, ...] = (1, 2, 3)
) -> None:
    """Write a whole case of BraTS 2023 or 2024."""
    for role in ("t2f", "t1c", "t1n", "t2w"):
        save(root / case / f"{case}-{role}.nii.gz", brain(role), spacing_mm=BRAIN_MM)
    save(root / case / f"{case}-seg.nii.gz", truth(*values), spacing_mm=BRAIN_MM)


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
