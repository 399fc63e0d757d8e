"""The content of a datalist, checked key by key.

The JSON file has the form of MONAI and the Medical Segmentation Decathlon.
"""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from datasets.base import DataError, Window
from datasets.files import read_text
from datasets.layouts.declared import check_class_count, check_distinct, check_keys, check_names

NUMBER = re.compile(r"[0-9]{1,4}")
VALUE = re.compile(r"-?[0-9]{1,9}")
EXAMPLE = "docs/data.md has an example"


def _check_id(text: str) -> str:
    if text and not re.fullmatch(r"[\w.-]+", text):
        raise ValueError(f"must be letters, digits, '.', '_' and '-', got '{text}'")
    return text


class Entry(BaseModel):
    """One case; paths are relative to the datalist's folder or absolute."""

    image: str | list[str]  # one file, with a 4th axis if it has several channels; or one a channel
    id: Annotated[str, AfterValidator(_check_id)] = ""  # empty: the name of the (first) image
    patient: str = ""  # empty: the id; cases of one patient stay together

    @model_validator(mode="before")
    @classmethod
    def _accept_path(cls, content: object) -> object:
        return {"image": content} if isinstance(content, str) else content

    @model_validator(mode="after")
    def _check_images(self) -> Self:
        if not self.images or not all(self.images):
            raise ValueError(f"image: must name a file, got {self.image}")
        return self

    @property
    def images(self) -> list[str]:
        return self.image if isinstance(self.image, list) else [self.image]


class TrainingEntry(Entry):
    """A case with its label."""

    label: str


class DatalistFile(BaseModel):
    """The content of a datalist; other keys of the Decathlon's dataset.json are ignored."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    name: str = ""
    description: str = ""
    reference: str = ""
    modality: str | dict[str, str]  # MRI or CT, or channel number -> its name
    channels: list[str] = []  # names, where ``modality`` does not give them
    labels: dict[str, str | int]  # value -> class or class -> value
    regions: dict[str, list[int]] = {}  # region -> label values; empty: each class but background
    window: Window | None = None  # CT only
    training: list[TrainingEntry]
    validation: list[Entry] = []  # this list and the next two are for prediction only
    testing: list[Entry] = []
    test: list[Entry] = []

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key in self.model_extra or {}:
            close = get_close_matches(key, type(self).model_fields, n=1, cutoff=0.8)
            if close:
                raise ValueError(f"unknown key '{key}' (did you mean '{close[0]}'?)")
        values = self.values
        if len(values) < 2 or values.get(0) is None:
            rule = "must have a background of value 0 and a class beside it"
            raise ValueError(f"labels: {rule}, got {self.labels}")
        for region, members in self.regions.items():
            unknown = set(members) - values.keys()
            if not members or unknown or not re.fullmatch(r"[\w .-]+", region):
                rule = f"'{region}' must be values of the labels {sorted(values)}"
                raise ValueError(f"regions: {rule}, got {members}")
        if self.window and not self.is_ct:
            raise ValueError(f"window: is of Hounsfield units, got modality {self.modality}")
        if not self.training:
            raise ValueError("training: must list a case, got none")
        return self

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if isinstance(self.modality, dict):
            wrong = [key for key in self.modality if not NUMBER.fullmatch(key)]
            if wrong or not self.modality:
                raise ValueError(f"modality: keys must be channel numbers, got {self.modality}")
        check_names("labels and regions", [*self.regions, *self.values.values()])
        check_names("channels", self.channel_names)
        return self

    @model_validator(mode="after")
    def _check_distinct(self) -> Self:
        pairs = self.pairs
        check_distinct("labels: values", [value for value, _ in pairs])
        check_distinct("labels: classes", [name for _, name in pairs])
        check_distinct("channels: names", self.channel_names)
        check_class_count(len(pairs))
        return self

    @property
    def values(self) -> dict[int, str]:
        """Label value -> class, sorted by value, so that the background comes first."""
        return dict(sorted(self.pairs))

    @property
    def pairs(self) -> list[tuple[int, str]]:
        """The label values with their classes, in the order of the file."""
        pairs = []
        for key, value in self.labels.items():
            if VALUE.fullmatch(key):
                pairs.append((int(key), str(value)))
            else:
                pairs.append((int(value), key))
        return pairs

    @property
    def is_ct(self) -> bool:
        names = [self.modality] if isinstance(self.modality, str) else self.modality.values()
        return all(name.upper() == "CT" for name in names)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The names of the channels; their number, where nothing names them."""
        if self.channels:
            return tuple(self.channels)
        if isinstance(self.modality, dict):
            return tuple(self.modality[number] for number in sorted(self.modality, key=int))
        n_files = len(self.training[0].images)
        if n_files == 1:
            return (self.modality.lower(),)
        return tuple(f"channel{number}" for number in range(n_files))


def read_datalist(file: Path) -> DatalistFile:
    """Return the content of a datalist; raise DataError with a sentence that names the key."""
    where = f"datalist: {file}"
    if not file.is_file():
        hint = "--datasets takes names and datalists, files that end in .json"
        raise DataError(f"{where}: no such file ({hint})")
    text = read_text(file, EXAMPLE)
    try:
        content = DatalistFile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].replace("Value error, ", "")
        parts = [where, ".".join(map(str, first["loc"])), message]
        raise DataError(f"{': '.join(filter(None, parts))} ({EXAMPLE})") from None
    try:
        check_keys(text)
    except ValueError as error:
        raise DataError(f"{where}: {error} ({EXAMPLE})") from None
    if not slug(content.name or file.stem):
        raise DataError(f"{where}: name: must have a letter or a digit, got '{content.name}'")
    return content


def slug(name: str) -> str:
    """Return a name in a form that a folder can have."""
    return re.sub(r"\W+", "_", name).strip("_").lower()
