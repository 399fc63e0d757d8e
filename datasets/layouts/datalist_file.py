"""What a datalist says: a JSON file in the form of MONAI and the Medical Segmentation Decathlon, checked key by key."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from datasets.base import DataError, Window

FOR_PREDICTION = (
    "validation",
    "testing",
    "test",
)  # lists whose cases are neither trained on nor scored


def _check_id(text: str) -> str:
    if text and not re.fullmatch(r"[\w.-]+", text):
        raise ValueError(f"must be letters, digits, '.', '_' and '-', got '{text}'")
    return text


class Entry(BaseModel):
    """One case; paths are relative to the datalist's folder or absolute."""

    image: (
        str | list[str]
    )  # one file, of several channels if it has a fourth axis, or one file a channel
    id: Annotated[str, AfterValidator(_check_id)] = ""  # empty: the name of the (first) image
    patient: str = ""  # empty: the id; cases of one patient stay together

    @model_validator(mode="before")
    @classmethod
    def _accept_path(cls, content: object) -> object:
        return {"image": content} if isinstance(content, str) else content

    @property
    def images(self) -> list[str]:
        """The files of the channels."""
        return self.image if isinstance(self.image, list) else [self.image]


class TrainingEntry(Entry):
    """A case with its label."""

    label: str


class DatalistFile(BaseModel):
    """The content of a datalist; keys of the Decathlon's dataset.json that are not named here are passed over."""

    model_config = ConfigDict(extra="allow")

    name: str = ""
    description: str = ""
    reference: str = ""
    modality: str | dict[str, str]  # MRI or CT, or channel number -> its name
    channels: list[str] = []  # names, where ``modality`` does not give them
    labels: dict[str, str | int]  # value -> class or class -> value
    regions: dict[
        str, list[int]
    ] = {}  # what is scored, by label values; empty: each class but the background
    window: Window | None = None  # of CT
    training: list[TrainingEntry]
    validation: list[Entry] = []
    testing: list[Entry] = []
    test: list[Entry] = []

    @model_validator(mode="after")
    def _check(self) -> DatalistFile:
        for key in self.model_extra or {}:
            close = get_close_matches(key, type(self).model_fields, n=1, cutoff=0.8)
            if close:
                raise ValueError(f"unknown key '{key}' (did you mean '{close[0]}'?)")
        values = self.values
        if len(values) < 2 or values.get(0) is None:
            raise ValueError(
                f"labels: must have a background of value 0 and a class beside it, got {self.labels}"
            )
        for region, members in self.regions.items():
            unknown = sorted(set(members) - values.keys())
            if not members or unknown or not re.fullmatch(r"[\w .-]+", region):
                raise ValueError(
                    f"regions: '{region}' must be values of the labels {sorted(values)}, got {members}"
                )
        if self.window and not self.is_ct:
            raise ValueError(f"window: is of Hounsfield units, got modality {self.modality}")
        if not self.training:
            raise ValueError("training: must list a case, got none")
        return self

    @property
    def values(self) -> dict[int, str]:
        """Label value -> class, sorted by value, so that the background comes first."""
        pairs = [
            (key, value) if str(key).lstrip("-").isdigit() else (value, key)
            for key, value in self.labels.items()
        ]
        return {
            value: name for value, name in sorted((int(value), str(name)) for value, name in pairs)
        }

    @property
    def is_ct(self) -> bool:
        """Whether intensities are Hounsfield units."""
        names = [self.modality] if isinstance(self.modality, str) else list(self.modality.values())
        return all(name.upper() == "CT" for name in names)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The names of the channels; their number, where nothing names them."""
        if self.channels:
            return tuple(self.channels)
        if isinstance(self.modality, dict):
            return tuple(
                name for _, name in sorted(self.modality.items(), key=lambda item: int(item[0]))
            )
        n_files = len(self.training[0].images)
        return (
            tuple(f"channel{number}" for number in range(n_files))
            if n_files > 1
            else (self.modality.lower(),)
        )


def read_datalist(file: Path) -> DatalistFile:
    """Return what a datalist says.

    Raises: DataError with one sentence that names the key.
    """
    where = f"datalist: {file}"
    if not file.is_file():
        raise DataError(
            f"{where}: no such file (--datasets takes names and datalists, files that end in .json)"
        )
    try:
        return DatalistFile.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        text = f"{place}: {first['msg']}" if place else first["msg"]
        raise DataError(
            f"{where}: {text.replace('Value error, ', '')} (docs/data.md has an example)"
        ) from None


def slug(name: str) -> str:
    """Return a name as it can stand in the name of a folder."""
    return re.sub(r"\W+", "_", name).strip("_").lower()
