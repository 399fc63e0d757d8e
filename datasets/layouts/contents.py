"""What a folder holds in which no case was recognised, and which layouts it resembles."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.base import Release, list_first

UNPACK = "unpack"
SITK = "convert to NIfTI, with SimpleITK for example"
NO_PLACES = "no places of voxels are stated: write NIfTI with the affine of the scan"
SNIFFED = 100  # files without an ending whose first bytes are read
N_NEAREST = 2
COMMON = {"nii", "gz", "at", "any", "depth", "and", "one", "file", "with", "files", "as", "both"}


@dataclass(frozen=True)
class Format:
    """Files that are not read, by their names."""

    title: str
    names: str  # a pattern of the end of a name
    remedy: str


FORMATS = (
    Format("archive", r"\.(zip|tar|tgz|tbz2?|txz|7z|rar|tar\.(gz|bz2|xz|zst))$", UNPACK),
    Format("unfinished", r"\.(part|partial|crdownload|aria2|download)$", "fetch it again"),
    Format("DICOM", r"(\.(dcm|dicom|ima)|(^|/)dicomdir)$", "convert with dcm2niix"),
    Format("NRRD", r"\.(nrrd|nhdr)$", SITK),
    Format("MetaImage", r"\.(mha|mhd)$", SITK),
    Format(
        "Analyze or two-file NIfTI",
        r"\.(img|hdr)(\.gz)?$",
        "write one .nii file with the tool that made them; Analyze states no left and right",
    ),
    Format("MINC", r"\.mnc2?(\.gz)?$", "convert with mnc2nii"),
    Format("FreeSurfer", r"\.(mgh|mgz)$", "convert with mri_convert"),
    Format("Philips PAR/REC", r"\.(par|rec)$", "convert with dcm2niix"),
    Format("NumPy", r"\.(npy|npz)$", NO_PLACES),
    Format("HDF5 or Matlab", r"\.(h5|hdf5|mat)$", NO_PLACES),
    Format("preprocessed nnU-Net", r"\.(b2nd|pkl)$", "give the raw folder Dataset000_NAME"),
    Format("picture", r"\.(png|jpe?g|tiff?|bmp)$", "a picture is no volume: get the NIfTI files"),
)
DICOM = next(each for each in FORMATS if each.title == "DICOM")
ELSE = "no layout is near: `list datasets` shows them, a datalist describes your own data"
NIFTI = r"\.nii(\.gz)?$"


def find_format(path: Path) -> Format | None:
    """Return the format of a file that is not read, by its name; None for any other file."""
    for each in FORMATS:
        if re.search(each.names, path.name, re.IGNORECASE):
            return each
    return None


def describe_unrecognised(
    root: Path, paths: Mapping[Path, str], releases: Sequence[Release]
) -> str:
    """Return what is below a root without a case, and the nearest layouts.

    ``paths`` are the files with their paths below the root.
    """
    if not paths:
        names = sorted(path.name for path in root.iterdir())
        what = f"holds no file, only {list_first(names)}" if names else "is empty"
        return f"{root} {what} (is it the right folder, or not filled yet?)"
    parts = _list_formats(paths)
    volumes = [text for text in paths.values() if re.search(NIFTI, text, re.IGNORECASE)]
    if volumes:
        what = "whose names are of no layout, such as"
        parts.append(f"{_count(len(volumes), 'NIfTI file')} {what} {volumes[0]}")
    if not parts:
        first = next(iter(paths.values()))
        parts.append(f"{_count(len(paths), 'file')}, none of them a volume, such as {first}")
    if _is_bids(paths.values()):
        parts.insert(0, "a BIDS data set (a datalist can describe it, see docs/data.md)")
    near = find_nearest(paths.values(), releases)
    layouts = "; ".join(f"{each.identity}: {each.layout}" for each in near)
    hint = f"nearest by their names: {layouts}" if near else ELSE
    return f"{root} holds {', '.join(parts)}; {hint}"


def find_nearest(paths: Iterable[str], releases: Sequence[Release]) -> list[Release]:
    """Return the two releases that share most words with the paths, none if none shares any.

    A word counts the more, the fewer releases have it.
    """
    releases = [each for each in releases if not each.copy_of]
    words = {}
    for release in releases:
        layout = re.sub(r"\(.*?\)", "", release.layout)  # explanations
        words[release.name] = _split_words(f"{layout} {release.title}")
    spread = Counter(word for each in words.values() for word in each)
    seen: set[str] = set()
    for path in paths:
        seen |= _split_words(path)
    scores = {}
    for release in releases:
        scores[release.name] = sum(1 / spread[word] for word in words[release.name] & seen)
    nearest: list[Release] = []
    for release in sorted(releases, key=lambda each: scores[each.name], reverse=True):
        is_new = all(release.layout != other.layout for other in nearest)
        if scores[release.name] > 0 and is_new:
            nearest.append(release)
    return nearest[:N_NEAREST]


def _list_formats(paths: Mapping[Path, str]) -> list[str]:
    """Return a phrase for each format: the number of files, the first, and what to do."""
    found: dict[Format, list[str]] = {}
    n_sniffed = 0
    for path, text in paths.items():
        kind = find_format(path)
        if kind is None and n_sniffed < SNIFFED and not re.search(NIFTI, text, re.IGNORECASE):
            n_sniffed += 1
            kind = DICOM if _is_dicom(path) else None
        if kind is not None:
            found.setdefault(kind, []).append(text)
    phrases = []
    for kind, texts in found.items():
        files = _count(len(texts), f"{kind.title} file")
        phrases.append(f"{files} such as {texts[0]} ({kind.remedy})")
    return phrases


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _is_dicom(path: Path) -> bool:
    """Return whether a file has DICOM's mark; series often have names without an ending."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _is_bids(paths: Iterable[str]) -> bool:
    return any(re.search(r"(^|/)(dataset_description\.json$|sub-\w+/)", path) for path in paths)


def _split_words(text: str) -> set[str]:
    """Return the words of names, in lower case, with and without their digits."""
    found: set[str] = set()
    for word in re.split(r"[^A-Za-z0-9]+", text.lower()):
        found |= {word, word.rstrip("0123456789")}
    return {word for word in found if len(word) > 1 and not word.isdigit()} - COMMON
