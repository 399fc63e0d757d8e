"""Roots with a file that cannot be read."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.datasets.roots.build import (
    LFS,
    glioma,
    label_of,
    liver,
    save,
    scan,
    scenario,
    seg_of,
    t1_of,
    volume_of,
)


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
    """Write a case; return its volume, which is long enough to be packed into several blocks."""
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


@scenario("brats")
def three_cases_each_with_its_fault(root: Path) -> None:
    for number in range(1, 5):
        glioma(root, f"BraTS20_Training_{number:03d}")
    empty_volume_path = root / "BraTS20_Training_002/BraTS20_Training_002_t2.nii.gz"
    empty_volume_path.write_bytes(b"")
    (root / "BraTS20_Training_003/BraTS20_Training_003_flair.nii.gz").write_bytes(LFS)
    shutil.copy(t1_of(root), root / "BraTS20_Training_004/BraTS20_Training_004_seg.nii.gz")
