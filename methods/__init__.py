"""The methods by name; a method's file is imported when the method is asked for.

The folder that a method's file is in is its family. ``peft:TYPE`` is a tuner of the library peft.
Another name with a colon is a user's own method: ``package.module:Class``, importable from where
the program was started.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from methods.settings import Value, changed_settings, parse, settings, suggest

if TYPE_CHECKING:
    from methods.base import Contender, Method

__all__ = ["METHODS", "build", "changed_settings", "check_name", "family_of", "get", "groups"]
__all__ += ["label", "names", "settings"]

__distribution__ = "medtuning-bench"
METHODS: dict[str, str] = {
    "full": "methods.reference.full:Full",
    "scratch": "methods.reference.scratch:Scratch",
    "linear": "methods.reference.linear:Linear",
    "vpt_shallow": "methods.prompt.vpt:VptShallow",
    "vpt_deep": "methods.prompt.vpt:VptDeep",
    "lora": "methods.low_rank.lora:Lora",
    "fact_tt": "methods.low_rank.fact:FactTt",
    "fact_tk": "methods.low_rank.fact:FactTk",
    "conv_lora": "methods.low_rank.conv_lora:ConvLora",
    "arena": "methods.low_rank.arena:Arena",
    "houlsby": "methods.adapter.bottlenecks:Houlsby",
    "pfeiffer": "methods.adapter.bottlenecks:Pfeiffer",
    "adapter_plus": "methods.adapter.bottlenecks:AdapterPlus",
    "adaptformer": "methods.adapter.adaptformer:AdaptFormer",
    "convpass": "methods.adapter.convpass:Convpass",
    "repadapter": "methods.adapter.repadapter:RepAdapter",
    "mona": "methods.adapter.mona:Mona",
    "dka": "methods.adapter.dka:Dka",
    "ssf": "methods.scale_shift.ssf:Ssf",
    "difffit": "methods.scale_shift.difffit:DiffFit",
    "bitfit": "methods.selective.bitfit:BitFit",
    "norm": "methods.selective.norm:Norm",
    "gps": "methods.selective.gps:Gps",
    "spt": "methods.selective.spt:Spt",
    "partial": "methods.selective.partial:Partial",
    "st_adapter": "methods.volumetric.st_adapter:StAdapter",
    "aim": "methods.volumetric.aim:Aim",
    "ma_sam": "methods.volumetric.ma_sam:MaSam",
    "med_adapter": "methods.volumetric.med_adapter:MedAdapter",
}
PEFT = "peft:"  # in front of the name of a type of that library
# those of Shen et al., Med-Tuning, MIDL 2024
PAPER = ("full", "linear", "vpt_shallow", "vpt_deep", "lora", "adaptformer", "med_adapter")


def names() -> list[str]:
    """Return the names of all methods, in the order in which tables show them."""
    return list(METHODS)


def groups() -> dict[str, list[str]]:
    """Return the names in each group that can be asked for.

    That is all of our own, the paper's, each family of them, and ``peft``: all types of peft.
    """
    from methods.bridge import registry

    found = {"all": names(), "paper": list(PAPER)}
    for name in METHODS:
        found.setdefault(family_of(name), []).append(name)
    return found | {"peft": registry.names()}


def family_of(name: str) -> str:
    """Return the family of one of our own methods; empty for any other name."""
    return METHODS[name].split(".")[1] if name in METHODS else ""


def families() -> dict[str, str]:
    """Return the family of each of our own methods, in the order in which tables show them."""
    return {name: family_of(name) for name in METHODS}


def check_name(name: str) -> str:
    """Return a known name (a user's own is not imported). Raises: ValueError with the nearest."""
    if name.startswith(PEFT):
        from methods.bridge import registry

        registry.check_name(name)
    elif ":" not in name and name not in METHODS:
        raise ValueError(f"unknown method '{name}'{suggest(name, names())}")
    return name


def get(name: str) -> type[Method]:
    """Return a method's class. Raises: ValueError if there is no such method."""
    if name.startswith(PEFT):
        return import_module("methods.bridge.method").get(name)
    if ":" in name:
        return _import_own(name)
    module, _, attribute = METHODS[check_name(name)].partition(":")
    return getattr(import_module(module), attribute)


def build(name: str, given: Mapping[str, Value] | None = None) -> Method:
    """Build a method; settings may be text. Raises: ValueError if a name or value is wrong."""
    kind = get(name)
    return kind(**parse(name, kind, given or {}))


def label(contender: Contender) -> str:
    """Return a short unique name such as ``lora[rank=4]``; defaults are left out."""
    name = contender.info.name
    inner = ",".join(f"{key}={value}" for key, value in changed_settings(contender))
    return f"{name}[{inner}]" if inner else name


def _import_own(path: str) -> type[Method]:
    """Return a user's own class; errors while its module is imported are not caught."""
    from methods.base import Method

    module, _, attribute = path.partition(":")
    where = f"method '{path}'"
    try:
        kind = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module itself imports something that is missing
        hint = "run from the folder that contains it"
        raise ValueError(f"{where}: there is no module '{error.name}' ({hint})") from None
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        rule = f"'{attribute}' must be a subclass of methods.base.Method"
        raise ValueError(f"{where}: {rule}, got {kind!r}")
    if kind.info.name in METHODS:
        raise ValueError(f"{where}: info.name must be a name of its own, got '{kind.info.name}'")
    return kind
