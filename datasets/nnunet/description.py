"""The content of nnU-Net's ``dataset.json``, checked key by key.

Reference: documentation/dataset_format.md and documentation/region_based_training.md of nnU-Net v2.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from datasets.base import DataError, Region, Window
from datasets.files import read_text
from datasets.layouts.declared import check_class_count, check_keys, check_names
from datasets.nnunet.naming import DESCRIPTION

BACKGROUND, IGNORE = "background", "ignore"
ENDINGS = (".nii.gz", ".nii")
CT = "ct"
# channel names that ask nnU-Net for another scaling than the two that there are here
OTHER_SCALINGS = ("nonorm", "rescale_to_0_1", "rgb_to_0_1")
FORM = "see documentation/dataset_format.md of nnU-Net v2"


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


Values = Annotated[list[int], BeforeValidator(_as_list)]  # one label value, or those of a region


class Files(BaseModel):
    """The files of one case; variables such as ``$HOME`` are expanded, as nnU-Net does."""

    images: list[str]
    label: str


class Description(BaseModel):
    """What nnU-Net reads of ``dataset.json``, and what this benchmark adds when it writes one."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    channel_names: dict[str, str]
    labels: dict[str, Values]
    regions_class_order: list[int] | None = None
    file_ending: str
    numTraining: int | None = None  # noqa: N815  # nnU-Net's spelling
    dataset: dict[str, Files] | None = None  # case -> files, instead of imagesTr and labelsTr
    name: str = ""
    description: str = ""
    reference: str = ""
    window: Window | None = None  # ours: constants of CT
    patients: dict[str, str] = {}  # ours: case -> patient, where they differ

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        numbers = sorted(self.channel_names)
        if not numbers or numbers != sorted(map(str, range(len(numbers)))):
            raise ValueError(f"channel_names: keys must be 0, 1, 2, ..., got {', '.join(numbers)}")
        names = self.channel_names.values()
        asked = [name for name in names if name.casefold() in OTHER_SCALINGS]
        if asked:
            rule = f"'{asked[0]}' asks for a scaling that is not built in"
            hint = "CT is scaled by a window, all else by z-score; name the channel for one of them"
            raise ValueError(f"channel_names: {rule} ({hint})")
        if self.is_ct != any(name.casefold() == CT for name in names):
            rule = "must be CT in all channels or in none"
            hint = "CT is scaled by a window, all else by z-score"
            raise ValueError(f"channel_names: {rule}, got {', '.join(names)} ({hint})")
        return self

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        if self.labels.get(BACKGROUND) != [0]:
            raise ValueError(f'labels: must have "{BACKGROUND}": 0, got {self.labels}')
        check_names("labels", self.labels)
        check_class_count(len(self.values))
        if len(self.values) < 2:
            raise ValueError(f"labels: must have one beside the background, got {self.labels}")
        for name, group in self.labels.items():
            if not group or min(group) < 0:
                raise ValueError(f"labels: '{name}' must have values from 0 on, got {group}")
        ignored = self.labels.get(IGNORE)
        if ignored is not None and ignored != [max(self.values) + 1]:
            rule = f"'{IGNORE}' must be the highest value, {max(self.values) + 1}"
            raise ValueError(f"labels: {rule}, got {ignored}")
        return self

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        order = self.regions_class_order
        if order is None or not self.has_regions:
            return self
        n_regions = len(self.region_values)
        if len(order) != n_regions or not set(order) <= set(self.values):
            rule = f"must have a label value for each of the {n_regions} regions"
            raise ValueError(f"regions_class_order: {rule}, got {order}")
        return self

    @model_validator(mode="after")
    def _check_ending(self) -> Self:
        if self.file_ending not in ENDINGS:
            rule = f"must be {' or '.join(ENDINGS)}, which are the formats that are read here"
            hint = "convert the files, for example with SimpleITK"
            raise ValueError(f"file_ending: {rule}, got {self.file_ending} ({hint})")
        return self

    @property
    def channels(self) -> tuple[str, ...]:
        """The names in order; a name that an earlier channel has gets its number."""
        names: list[str] = []
        for number in sorted(self.channel_names, key=int):
            name = self.channel_names[number]
            names.append(f"{name}_{number}" if name in names else name)
        return tuple(names)

    @property
    def is_ct(self) -> bool:
        return all(name.casefold() == CT for name in self.channel_names.values())

    @property
    def region_values(self) -> dict[str, list[int]]:
        """The label values of each name that is neither the background nor ignored."""
        return {
            name: sorted(set(group))
            for name, group in self.labels.items()
            if name not in (BACKGROUND, IGNORE) and set(group) != {0}
        }

    @property
    def has_regions(self) -> bool:
        return any(len(group) > 1 for group in self.region_values.values())

    @property
    def values(self) -> tuple[int, ...]:
        """The label values, background first, without the ignored one."""
        found = {0}
        for group in self.region_values.values():
            found.update(group)
        return tuple(sorted(found))

    @property
    def ignored_value(self) -> int | None:
        return self.labels[IGNORE][0] if IGNORE in self.labels else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes: those of single values, else "label 2"."""
        names = {0: BACKGROUND}
        for name, group in self.region_values.items():
            if len(group) == 1:
                names.setdefault(group[0], name)
        return tuple(names.get(value, f"label {value}") for value in self.values)

    @property
    def regions(self) -> tuple[Region, ...]:
        return build_regions(self.region_values, self.values)


def build_regions(groups: dict[str, list[int]], values: Sequence[int]) -> tuple[Region, ...]:
    """Return the regions of training classes for those of label values."""
    regions = []
    for name, group in groups.items():
        regions.append(Region(name, tuple(values.index(value) for value in group)))
    return tuple(regions)


def read_description(folder: Path) -> Description:
    """Return the content of a raw folder's ``dataset.json``; DataError names the key if wrong."""
    file = folder / DESCRIPTION
    where = f"nnU-Net: {file}"
    if not file.is_file():
        rule = f"must have a {DESCRIPTION}, imagesTr and labelsTr"
        raise DataError(f"nnU-Net: {folder} {rule}, got no {DESCRIPTION} ({FORM})")
    text = read_text(file, FORM)
    try:
        content = Description.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"].replace("Value error, ", "")
        if first["type"] == "missing":
            message = "is missing"
        parts = [where, ".".join(map(str, first["loc"])), message]
        hint = FORM
        if first["loc"] == ("channel_names",) and first["type"] == "missing":
            hint = "a folder of nnU-Net v1: nnUNetv2_convert_old_nnUNet_dataset converts it"
        raise DataError(f"{': '.join(filter(None, parts))} ({hint})") from None
    try:
        check_keys(text)
    except ValueError as error:
        raise DataError(f"{where}: {error} ({FORM})") from None
    return content
