"""In which fields the protocols of runs differ, and with which values."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

from reports.records.plain import flatten
from reports.records.run import RunResult

ID = "protocol_id"
ABSENT = "(none)"  # of a field that a protocol does not have
# The fields of the protocol in which settings may differ, by the field of `Setting`.
DECODER_FIELDS = ("model.decoder", "model.decoder_mode", "model.decoder_from")
OWN_FIELDS = {
    "dataset": ("dataset",),
    "weights": ("model.weights",),
    "shots": ("data.shots",),
    "tuned": ("tune",),
    # several of these at once
    "setting": ("dataset", "model.backbone", "model.weights", *DECODER_FIELDS),
}


def describe_difference(results: Sequence[RunResult]) -> str:
    """Return the fields in which the protocols differ, in words; empty if there is one protocol."""
    # Not by hash alone: a record may have been edited, or hashed by another version.
    protocols: list[dict[str, Any]] = []
    for run in results:
        record = flatten(run.protocol) | {ID: run.protocol_id}
        if record not in protocols:
            protocols.append(record)
    if len(protocols) == 1:
        return ""
    differing = {key: ", ".join(words) for key, words in list_values(protocols).items()}
    ids = differing.pop(ID, protocols[0][ID])
    fields = [f"{key} ({words})" for key, words in differing.items()] or [f"{ID} ({ids})"]
    return f"{len(protocols)} ({ids}) that differ in {', '.join(fields)}"


def list_values(protocols: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the different values, in words, of each dotted field that has several."""
    found = {}
    for key in dict.fromkeys(chain.from_iterable(protocols)):
        values = [protocol.get(key) for protocol in protocols]
        if values.count(values[0]) < len(values):
            found[key] = list(dict.fromkeys(map(str, values)))
    return found


def describe_columns(
    columns: Mapping[str, Sequence[RunResult]], without: Collection[str] = ()
) -> str:
    """Return how the protocols of a table's columns differ, apart from some fields.

    Args:
        columns: the runs behind each column, by its name.
        without: dotted fields that are left out with all below them, such as "tune".

    Returns: such as "train.lr (none: 0.001; mae: 3e-05)"; empty if they differ in nothing else.
    """
    values: dict[str, dict[str, str]] = {}  # by field and column
    for name, results in columns.items():
        different: list[dict[str, Any]] = []  # of many runs, most are equal
        for run in results:
            if run.protocol not in different:
                different.append(run.protocol)
        protocols = [_leave_out(flatten(protocol), without) for protocol in different]
        for key in dict.fromkeys(chain.from_iterable(protocols)):
            words = dict.fromkeys(str(protocol.get(key, ABSENT)) for protocol in protocols)
            values.setdefault(key, {})[name] = ", ".join(words)
    found = []
    for key, by_column in values.items():
        listed = {name: by_column.get(name, ABSENT) for name in columns}
        if len(set(listed.values())) > 1:
            parts = "; ".join(f"{name}: {value}" for name, value in listed.items())
            found.append(f"{key} ({parts})")
    return ", ".join(found)


def _leave_out(record: Mapping[str, Any], without: Collection[str]) -> dict[str, Any]:
    kept = {}
    for key, value in record.items():
        if not any(f"{key}.".startswith(f"{field}.") for field in without):
            kept[key] = value
    return kept
