"""Plain data: dataclasses as JSON, in which nan is null, and records under dotted names."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isinf, isnan, nan
from typing import Annotated, Any

INLINE = {"inline": True}  # metadata of a mapping whose items are fields of the record in JSON


class _NanAsNull:
    """Tell pydantic, which is imported for reading only, that null stands for nan."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        finite = core_schema.float_schema(allow_inf_nan=False)
        return core_schema.no_info_wrap_validator_function(
            lambda value, check: nan if value is None else check(value), finite
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"type": "number"}, {"type": "null"}]}


Number = Annotated[float, _NanAsNull()]  # null in the file where it is nan


def to_plain(value: Any, where: str, undefined: float | None = None) -> Any:
    """Return a value, dataclasses included, as JSON has it: nan becomes ``undefined``.

    Raises: ValueError that names the place of an infinite number or of an object of another type.
    """
    if isinstance(value, float):
        if isinf(value):
            raise ValueError(f"{where}: must be a finite number or nan, got {value}")
        return undefined if isnan(value) else float(value)
    if isinstance(value, str):  # of a file's name that is no UTF-8, what is none is lost
        return value if value.isascii() else value.encode(errors="replace").decode()
    if value is None or isinstance(value, int):
        return value
    if is_dataclass(value):
        record: dict[str, Any] = {}
        for item in fields(value):
            plain = to_plain(getattr(value, item.name), f"{where}.{item.name}", undefined)
            record |= plain if item.metadata == INLINE else {item.name: plain}
        return record
    if isinstance(value, Mapping):
        return {key: to_plain(value[key], f"{where}.{key}", undefined) for key in value}
    if isinstance(value, tuple | list):
        return [to_plain(each, f"{where}[{i}]", undefined) for i, each in enumerate(value)]
    raise ValueError(f"{where}: must be plain data, got {type(value).__name__}")


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a record under dotted names: ``{"train": {"lr": 1}}`` becomes ``{"train.lr": 1}``.

    Tuples become lists, as in a record that was read from a file.
    """
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat
