"""A user's own data set, without code: a datalist names its files, its labels and what is scored."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from functools import cached_property
from pathlib import Path

from datasets.base import Case, DataError, Dataset, DatasetInfo, Discovery, Problem, Region
from datasets.layouts.case_files import check_presence, stem
from datasets.layouts.datalist_file import (
    FOR_PREDICTION,
    DatalistFile,
    Entry,
    TrainingEntry,
    read_datalist,
    slug,
)


class Datalist(Dataset):
    """The data set that a JSON file describes; its root is the file's folder."""

    def __init__(self, file: Path) -> None:
        super().__init__(file.parent)
        self.file = file

    @cached_property
    def content(self) -> DatalistFile:
        """What the file says.

        Raises: DataError as `read_datalist`.
        """
        return read_datalist(self.file)

    @cached_property
    def info(self) -> DatasetInfo:
        """The facts of the data set."""
        content = self.content
        name = slug(content.name or self.file.stem)
        values = list(content.values)
        groups = content.regions or {
            title: [value] for value, title in content.values.items() if value != 0
        }
        return DatasetInfo(
            name=name,
            title=content.description or content.name or self.file.stem,
            reference=content.reference,
            modality="CT" if content.is_ct else "MRI",
            channels=content.channel_names,
            classes=tuple(content.values.values()),
            label_values=tuple(values),
            regions=tuple(
                Region(title, tuple(values.index(value) for value in group))
                for title, group in groups.items()
            ),
            layout=f"the files that {self.file} lists",
            window=content.window,
        )

    @property
    def meaning(self) -> str:
        """A hash of what the labels and the intensities mean."""
        info = self.info
        facts = [info.modality, info.channels, info.classes, info.label_values]
        regions = [[region.name, *region.classes] for region in info.regions]
        return hashlib.sha1(
            json.dumps([*facts, regions]).encode(), usedforsecurity=False
        ).hexdigest()

    def discover(self) -> Discovery:
        """List the cases of the file; that their files exist is looked at as well."""
        content = self.content
        entries: list[Entry] = list(content.training)
        for part in FOR_PREDICTION:
            entries += getattr(content, part)
        cases = [self._build_case(entry) for entry in entries]
        repeated = [case for case, count in Counter(case.id for case in cases).items() if count > 1]
        if repeated:
            hint = 'give each entry an "id"'
            raise DataError(
                f"datalist: {self.file}: {len(repeated)} cases have one id, such as {repeated[0]} ({hint})"
            )
        problems = [problem for case in cases for problem in self._check_files(case)]
        wrong = {problem.case for problem in problems}
        usable = sorted((case for case in cases if case.id not in wrong), key=lambda case: case.id)
        return Discovery(self.info.title, "", tuple(usable), tuple(problems))

    def _build_case(self, entry: Entry) -> Case:
        channels, images = self.info.channels, entry.images
        if len(images) not in (1, len(channels)):
            raise DataError(
                f"datalist: {self.file}: image: must name a file for each of {', '.join(channels)}, or one with a 4th "
                f"axis, got {len(images)}, the first {images[0] if images else 'missing'}"
            )
        paths = [self.root / image for image in images]
        case_id = entry.id or re.sub(r"[^\w.-]", "_", stem(paths[0]).name)
        is_stack = len(paths) < len(channels)
        return Case(
            id=case_id,
            patient=entry.patient or case_id,
            images=dict(zip(channels, paths * len(channels) if is_stack else paths, strict=True)),
            label=self.root / entry.label if isinstance(entry, TrainingEntry) else None,
            stack=tuple(range(len(channels))) if is_stack else (),
        )

    def _check_files(self, case: Case) -> list[Problem]:
        where = f"{self.info.name}: case {case.id}"
        return check_presence(where, case.id, case.files)
