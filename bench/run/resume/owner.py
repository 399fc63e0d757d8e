"""What a checkpoint belongs to: a run, its data, and the program that computes it."""

import inspect
import json
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.run.provenance import hash_code
from bench.specs.protocol import PROTOCOL_VERSION
from bench.specs.run import RunSpec
from reports.records.plain import flatten

SPEC, DATA, PROGRAM = "spec", "data", "version"  # in the order in which they are compared
PACKAGES = ("torch", "timm", "monai", "numpy")  # that decide what is computed
Owner = dict[str, dict[str, Any]]


def describe_owner(spec: RunSpec, split_hash: str, weights_sha256: str, device: str) -> Owner:
    """Return, as plain data, all that decides the bits of a training.

    Args:
        split_hash: of the cases that it trains on and selects by.
        weights_sha256: of the file of pre-trained weights, if there is one.
        device: its kind, such as "cuda".
    """
    protocol = spec.protocol_record()
    data = protocol.pop("dataset")
    chosen = dict(spec.chosen)
    cell = {"method": str(spec.method), "fold": spec.fold, "seed": spec.seed}
    owner = {
        SPEC: cell | {"device": device, "chosen": chosen, "protocol": protocol},
        DATA: data | {"split": split_hash, "weights": weights_sha256},
        PROGRAM: {
            "protocol": PROTOCOL_VERSION,
            "code": hash_code(),
            "method": _hash_method(spec),
            "packages": {name: version(name) for name in PACKAGES},
        },
    }
    plain: Owner = json.loads(json.dumps(owner))
    return plain


def find_difference(found: Owner, wanted: Owner) -> str:
    """Return in words the first thing in which two owners differ; empty where they are equal."""
    for part in (SPEC, DATA, PROGRAM):
        old, new = flatten(found.get(part, {})), flatten(wanted[part])
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                return f"another {part}: {key} was {_show(old, key)} and is {_show(new, key)}"
    return ""


def _show(flat: Mapping[str, Any], key: str) -> str:
    return f"{flat[key]!s:.60}" if key in flat else "not set"


def _hash_method(spec: RunSpec) -> str:
    """Return a hash of the file of the method, which may be a user's own."""
    try:
        file = inspect.getsourcefile(type(spec.method.build()))
        return sha256(Path(file or "").read_bytes()).hexdigest()[:12]
    except (OSError, TypeError):  # typed into an interpreter
        return ""
