"""A raw folder of nnU-Net v2 as a data set: ``Dataset137_NAME`` with ``dataset.json``.

``imagesTr/CASE_0000.nii.gz`` is channel 0 of a case, ``labelsTr/CASE.nii.gz`` its label. Cases of
``imagesTs`` are for prediction alone.
"""

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from datasets.base import Case, DataError, Dataset, DatasetInfo, Discovery, NoCasesError, Problem
from datasets.layouts.case_files import check_presence
from datasets.nnunet.description import Description, read_description
from datasets.nnunet.naming import DESCRIPTION, is_folder_name, list_folders

TRAINING, LABELS, TEST = "imagesTr", "labelsTr", "imagesTs"
CHANNEL = re.compile(r"(?P<case>.+)_(?P<number>\d{4})")  # before the ending
LAYOUT = f"{TRAINING}/CASE_0000.nii.gz, {LABELS}/CASE.nii.gz and {DESCRIPTION}"


class NnunetFolder(Dataset):
    """The raw folder of one nnU-Net data set."""

    def __init__(self, name: str, root: Path) -> None:
        """Take ``root`` itself, or the folder ``name`` in it (``nnUNet_raw`` holds several)."""
        super().__init__(root / name if (root / name).is_dir() else root)
        self.name = name

    @cached_property
    def content(self) -> Description:
        if not self.root.is_dir():
            raise DataError(f"{self.name}: no folder {self.root} (looked for {LAYOUT})")
        own = self.root.resolve().name
        if is_folder_name(own) and own != self.name:
            hint = f"--datasets {own} reads it"
            raise DataError(f"{self.name}: {self.root} must be that folder, got {own} ({hint})")
        listed = ", ".join(list_folders(self.root))
        if listed and not (self.root / DESCRIPTION).is_file():
            raise DataError(f"{self.name}: no folder {self.root / self.name}, got {listed}")
        return read_description(self.root)

    @cached_property
    def info(self) -> DatasetInfo:
        content = self.content
        return DatasetInfo(
            name=self.name,
            title=self.name,
            reference=content.reference,
            modality="CT" if content.is_ct else "MRI",
            channels=content.channels,
            classes=content.classes,
            label_values=content.values,
            regions=content.regions,
            layout=LAYOUT,
            window=content.window,
            ignored_value=content.ignored_value,
        )

    @property
    def meaning(self) -> str:
        info = self.info
        regions = [[region.name, *region.classes] for region in info.regions]
        values = [info.label_values, info.ignored_value]
        facts = [info.modality, info.channels, info.classes, *values, regions]
        return hashlib.sha1(json.dumps(facts).encode(), usedforsecurity=False).hexdigest()

    @property
    def scaling(self) -> str:
        return "CT window" if self.info.modality == "CT" else "z-score within the body"

    def discover(self) -> Discovery:
        content = self.content
        if content.dataset is not None:
            cases, problems = self._list_given(content)
        else:
            cases, problems = self._search_training(content)
        if not cases and not problems:
            raise NoCasesError(f"{self.name}: no case in {self.root} (looked for {LAYOUT})")
        unusable = {each.case for each in problems if not each.is_warning}
        n_cases = len(cases) + len(unusable)
        if content.numTraining not in (None, n_cases):
            text = f"numTraining is {content.numTraining}, but there are {n_cases} cases"
            text = f"{self.name}: {self.root / DESCRIPTION}: {text}"
            problems.append(Problem("", f"{text} (nnU-Net refuses that)", is_warning=True))
        test, wrong = find_cases(self.info, self.root / TEST, content.file_ending)
        known = {case.id for case in cases}
        for case in test:
            if case.id in known:
                text = f"{self.name}: case {case.id} is in {TRAINING} and in {TEST}"
                wrong.append(Problem(case.id, f"{text} (the first is taken)", is_warning=True))
            else:
                cases.append(case)
        cases.sort(key=lambda case: case.id)
        return Discovery(tuple(cases), (*problems, *wrong))

    def _search_training(self, content: Description) -> tuple[list[Case], list[Problem]]:
        """Return the cases with image and label, and what is wrong with the others."""
        found, problems = find_cases(self.info, self.root / TRAINING, content.file_ending)
        labels = _list_files(self.root / LABELS, content.file_ending)
        cases = []
        for case in found:
            where = f"{self.name}: case {case.id}"
            label = labels.pop(case.id, None)
            if label is None:
                looked = self.root / LABELS / f"{case.id}{content.file_ending}"
                problems.append(Problem(case.id, f"{where} has no label (looked for {looked})"))
                continue
            wrong = check_presence(where, case.id, [label])
            problems += wrong
            if not wrong:
                cases.append(self._complete(case.id, case.images, label))
        unusable = {each.case for each in problems}
        orphans = [case_id for case_id in labels if case_id not in unusable]
        if orphans:
            text = f"{self.name}: {len(orphans)} labels without an image, such as {orphans[0]}"
            problems.append(Problem("", f"{text} (they are not used)", is_warning=True))
        return cases, problems

    def _list_given(self, content: Description) -> tuple[list[Case], list[Problem]]:
        """Return the cases that ``dataset.json`` lists by itself."""
        cases: list[Case] = []
        problems: list[Problem] = []
        channels = self.info.channels
        for case_id, files in (content.dataset or {}).items():
            where = f"{self.name}: case {case_id}"
            if len(files.images) != len(channels):
                text = f"must have {len(channels)} images, got {len(files.images)}"
                problems.append(Problem(case_id, f"{where} {text} ({self.root / DESCRIPTION})"))
                continue
            paths = [self.root / os.path.expandvars(text) for text in (*files.images, files.label)]
            wrong = check_presence(where, case_id, paths)
            problems += wrong
            if not wrong:
                images = dict(zip(channels, paths[:-1], strict=True))
                cases.append(self._complete(case_id, images, paths[-1]))
        return cases, problems

    def _complete(self, case_id: str, images: Mapping[str, Path], label: Path) -> Case:
        return Case(case_id, self.content.patients.get(case_id, case_id), images, label)


def find_cases(info: DatasetInfo, folder: Path, ending: str) -> tuple[list[Case], list[Problem]]:
    """Return the cases of a folder of ``CASE_0000.nii.gz``, without labels, and what is wrong."""
    problems: list[Problem] = []
    by_case: dict[str, dict[int, Path]] = defaultdict(dict)
    for stem, path in _list_files(folder, ending).items():
        match = CHANNEL.fullmatch(stem)
        if match is None:
            text = f"{info.name}: {path} must be named CASE_0000{ending}, with a channel's number"
            problems.append(Problem(stem, f"{text} (rename it; 0000 is {info.channels[0]})"))
            continue
        by_case[match["case"]][int(match["number"])] = path
    cases = []
    for case_id, files in sorted(by_case.items()):
        where = f"{info.name}: case {case_id}"
        wrong = _check_channels(info, case_id, files, folder)
        wrong += check_presence(where, case_id, files.values())
        problems += wrong
        if not wrong:
            images = {channel: files[number] for number, channel in enumerate(info.channels)}
            cases.append(Case(case_id, case_id, images, None))
    return cases, problems


def _check_channels(
    info: DatasetInfo, case_id: str, files: Mapping[int, Path], folder: Path
) -> list[Problem]:
    where = f"{info.name}: case {case_id}"
    problems = []
    for number, channel in enumerate(info.channels):
        if number not in files:
            text = f"has no {channel} volume (looked for {case_id}_{number:04d} in {folder})"
            problems.append(Problem(case_id, f"{where} {text}"))
    extra = sorted(set(files) - set(range(len(info.channels))))
    if extra:
        text = f"has a channel {extra[0]:04d}, but {DESCRIPTION} names {len(info.channels)}"
        problems.append(Problem(case_id, f"{where} {text} (remove {files[extra[0]]}, or name it)"))
    return problems


def _list_files(folder: Path, ending: str) -> dict[str, Path]:
    """Return the files of a folder, and links that are broken, by name without the ending."""
    found = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            is_file = path.name.endswith(ending) and not path.name.startswith((".", "_"))
            if is_file and not path.is_dir():
                found[path.name.removesuffix(ending)] = path
    return found
