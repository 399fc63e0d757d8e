"""Names from elsewhere in MLflow: keys of metrics and params, experiments, values in filters."""

import hashlib
import re

from datasets.files import file_name_of
from reports.records.text import shorten_text

LONGEST_KEY = 220  # MLflow takes 250, and keys of a part of the cases get an end of their own
LONGEST_TAG = 8000
LONGEST_PARAM = 6000
LONGEST_NAME = 250  # of a run, in a database
ROOM = 100  # for the end of a text that is shortened
FOREIGN = re.compile(r"[^\w.\- ]")
SPELT = re.compile(r"(?::[0-9a-f]{2})+")
FILTERED = re.compile(r"[\w .,:=+/@#()\[\]-]*")


def key_of(*parts: str) -> str:
    """Return the key of a metric or a param: the parts as MLflow takes them, with slashes between.

    MLflow takes letters, digits, spaces, ``_``, ``-``, ``.``, ``:`` and ``/``, and no parts that a
    path would resolve. Other signs are spelt, a colon before each byte: ``(`` becomes ``:28``.
    `parts_of` is the way back. A key that is too long ends in a hash instead.
    """
    key = "/".join(map(_spell, parts))
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return f"{key[: LONGEST_KEY - 17]}-{digest}"


def parts_of(key: str) -> tuple[str, ...]:
    """Return the parts that `key_of` made a key of."""
    return tuple(map(_read, key.split("/")))


def experiment_of(dataset: str) -> str:
    """Return the name of a data set's experiment, which is a folder of artifacts as well."""
    return "/".join(map(file_name_of, dataset.split("/", 1)))


def tag_of(text: str) -> str:
    """Return a text as the value of a tag: it has a bounded length."""
    return shorten_text(text, LONGEST_TAG - ROOM)


def param_of(text: str) -> str:
    """Return a text as the value of a param: it has a bounded length."""
    return shorten_text(text, LONGEST_PARAM - ROOM)


def can_be_filtered(value: str) -> bool:
    """Return whether a value can stand in a filter; MLflow's grammar cannot quote all signs."""
    return FILTERED.fullmatch(value) is not None


def _spell(part: str) -> str:
    if not part:
        return ":"
    spelt = FOREIGN.sub(lambda match: _spell_bytes(match[0]), part)
    return _spell_bytes(".") + spelt[1:] if spelt.startswith(".") else spelt


def _spell_bytes(sign: str) -> str:
    return "".join(f":{byte:02x}" for byte in sign.encode("utf-8", "surrogatepass"))


def _read(part: str) -> str:
    if part == ":":
        return ""
    return SPELT.sub(_read_bytes, part)


def _read_bytes(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace(":", "")).decode("utf-8", "surrogatepass")
