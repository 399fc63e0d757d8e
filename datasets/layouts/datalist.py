"""A user's own data set, without code: a datalist names its files, labels and scored regions."""

import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from datasets.base import Case, DataError, Dataset, DatasetInfo, Discovery, Problem, Region
from datasets.layouts.case_files import check_presence, stem
from datasets.layouts.datalist_file import DatalistFile, Entry, TrainingEntry, read_datalist, slug


class Datalist(Dataset):
    """The data set that a JSON file describes; its root is the file's folder."""

    def __init__(self, file: Path) -> None:
        super().__init__(file.parent)
        self.file = file

    @cached_property
    def content(self) -> DatalistFile:
        return read_datalist(self.file)

    @cached_property
    def info(self) -> DatasetInfo:
        content = self.content
        return DatasetInfo(
            name=slug(content.name or self.file.stem),
            title=content.description or content.name or self.file.stem,
            reference=content.reference,
            modality="CT" if content.is_ct else "MRI",
            channels=content.channel_names,
            classes=tuple(content.values.values()),
            label_values=tuple(content.values),
            regions=_build_regions(content),
            layout=f"the files that {self.file} lists",
            window=content.window,
        )

    @property
    def meaning(self) -> str:
        info = self.info
        regions = [[region.name, *region.classes] for region in info.regions]
        facts = [info.modality, info.channels, info.classes, info.label_values, regions]
        return hashlib.sha1(json.dumps(facts).encode(), usedforsecurity=False).hexdigest()

    def discover(self) -> Discovery:
        content = self.content
        entries = [*content.training, *content.validation, *content.testing, *content.test]
        cases = [self._build_case(entry) for entry in entries]
        training = {case.id for case in cases[: len(content.training)]}
        counts = Counter(case.id for case in cases)
        repeated = [case_id for case_id, count in counts.items() if count > 1]
        if repeated:
            rule = f"{len(repeated)} cases have one id, such as {repeated[0]}"
            raise DataError(f'datalist: {self.file}: {rule} (give each entry an "id")')
        problems: list[Problem] = []
        usable = []
        for case in cases:
            wrong = check_presence(f"{self.info.name}: case {case.id}", case.id, case.files)
            if case.id not in training:  # neither trained on nor scored
                wrong = [replace(each, is_warning=True) for each in wrong]
            problems += wrong
            if not wrong:
                usable.append(case)
        usable.sort(key=lambda case: case.id)
        return Discovery(tuple(usable), tuple(problems))

    def _build_case(self, entry: Entry) -> Case:
        channels, images = self.info.channels, entry.images
        if len(images) not in (1, len(channels)):
            rule = f"must name a file for each of {', '.join(channels)}, or one with a 4th axis"
            found = f"got {len(images)}, the first {next(iter(images), 'missing')}"
            raise DataError(f"datalist: {self.file}: image: {rule}, {found}")
        paths = [self.root / image for image in images]
        case_id = entry.id or re.sub(r"[^\w.-]", "_", stem(paths[0]).name)
        stack: tuple[int, ...] = ()
        if len(paths) < len(channels):
            paths *= len(channels)
            stack = tuple(range(len(channels)))
        return Case(
            id=case_id,
            patient=entry.patient or case_id,
            images=dict(zip(channels, paths, strict=True)),
            label=self.root / entry.label if isinstance(entry, TrainingEntry) else None,
            stack=stack,
        )


def _build_regions(content: DatalistFile) -> tuple[Region, ...]:
    """Return the regions of the file; each class but the background if it names none."""
    values = list(content.values)
    groups = content.regions
    if not groups:
        groups = {title: [value] for value, title in content.values.items() if value != 0}
    regions = []
    for title, group in groups.items():
        regions.append(Region(title, tuple(values.index(value) for value in group)))
    return tuple(regions)
