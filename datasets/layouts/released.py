"""A data set of which there are several releases."""

from functools import cached_property
from pathlib import Path
from typing import ClassVar

from datasets.base import Dataset, DatasetInfo, Discovery, Release, Window
from datasets.layouts.discovery import OtherTask, discover_release

FORMER_NAMES = {"lits": "lits17", "fets": "fets2022"}  # of releases, in files of older versions


class ReleasedDataset(Dataset):
    """A public data set; the names of the files tell which release is below the root."""

    name: ClassVar[str]  # of all releases together
    reference: ClassVar[str]
    modality: ClassVar[str]
    window: ClassVar[Window | None] = None  # constants of CT
    releases: ClassVar[tuple[Release, ...]]
    others: ClassVar[tuple[OtherTask, ...]] = ()  # tasks that are refused by their names

    def __init__(self, root: Path, asked: str = "") -> None:
        """Args: asked: the release that must be below the root; empty: any."""
        super().__init__(root)
        self.asked = asked

    @classmethod
    def find_release(cls, name: str) -> Release:
        return {each.name: each for each in cls.releases}[FORMER_NAMES.get(name, name)]

    @classmethod
    def describe(cls, release: str) -> DatasetInfo:
        entry = cls.find_release(release)
        return DatasetInfo(
            name=entry.identity,
            title=entry.title,
            reference=cls.reference,
            modality=cls.modality,
            channels=tuple(entry.channels),
            classes=entry.classes,
            label_values=entry.label_values,
            regions=entry.regions,
            layout=entry.layout,
            release=entry.name,
            window=cls.window,
        )

    @cached_property
    def info(self) -> DatasetInfo:
        found = self.discovery.release
        assert found is not None, "a released data set is discovered as one of its releases"
        return self.describe(found.name)

    def discover(self) -> Discovery:
        return discover_release(self.name, self.root, self.releases, self.asked, self.others)
