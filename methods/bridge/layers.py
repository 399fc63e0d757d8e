"""Layers of peft in the places of frozen ones."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import nn

from methods.bridge.types import Tuner
from methods.sites import Site
from methods.surgery import Mergeable


class Bridged(nn.Module):
    """A layer of peft around a frozen one."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        self.companion: nn.Module | None = None  # what acts beside the layers, once a network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)

    @contextmanager
    def switched_off(self) -> Iterator[None]:
        """Compute as the frozen layer does."""
        self.layer.enable_adapters(enabled=False)
        try:
            yield
        finally:
            self.layer.enable_adapters(enabled=True)


class MergeableBridged(Bridged, Mergeable):
    """A layer of peft that can be folded into the frozen one."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.unmerged: dict[str, torch.Tensor] = {}  # the frozen layer's tensors, while merged

    @torch.no_grad()
    def merge(self) -> None:
        if self.unmerged:
            return
        frozen = self.layer.get_base_layer()
        self.unmerged = {name: each.clone() for name, each in frozen.state_dict().items()}
        training = self.layer.training
        self.layer.eval()  # in training mode some merge a random mask
        with _silence():
            self.layer.merge()
        self.layer.train(training)

    @torch.no_grad()
    def unmerge(self) -> None:
        if not self.unmerged:
            return
        with _silence():
            self.layer.unmerge()  # subtracts, which rounds, or cannot
        self.layer.merged_adapters.clear()  # which some leave as they were
        frozen = self.layer.get_base_layer().state_dict()
        for name, value in self.unmerged.items():
            frozen[name].copy_(value)
        self.unmerged = {}


def wrap_layers(tuner: Tuner, settings: Mapping[str, Any], sites: list[Site]) -> list[Bridged]:
    """Return the layers at the sites within layers of peft; the sites keep what they have.

    Raises: ValueError with peft's sentence if a setting does not fit a layer.
    """
    keys = [f"{site.role}_{number}" for number, site in enumerate(sites)]
    shelf = nn.ModuleDict({key: site.module for key, site in zip(keys, sites, strict=True)})
    try:
        with _silence():
            model = _build_model(tuner, settings, shelf)
    except (ValueError, AssertionError) as error:
        sentence = " ".join(str(error).split())[:300]
        raise ValueError(f"peft:{tuner.name}: peft says: {sentence}") from error
    form = MergeableBridged if tuner.mergeable else Bridged
    found = [form(shelf[key]) for key in keys]
    if tuner.companion:
        module, _, name = tuner.companion.partition(":")
        found[0].companion = getattr(import_module(module), name)(model)
    return found


@contextmanager
def _silence() -> Iterator[None]:
    """Show no warnings: of models of transformers, missing compilers, rounding when unmerging."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _build_model(tuner: Tuner, settings: Mapping[str, Any], shelf: nn.ModuleDict) -> Any:
    """Return peft's model, which has replaced the modules on the shelf.

    peft's own way in, `inject_adapter_in_model`, refuses types whose layers share tensors.
    """
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

    unchecked: Any = torch.sparse.check_sparse_tensor_invariants
    unchecked.disable()  # as by default, without a warning
    kind = PeftType[tuner.peft]
    configure: Callable[..., Any] = PEFT_TYPE_TO_CONFIG_MAPPING[kind]
    config = configure(target_modules=r"\w+_\d+", **tuner.fixed, **settings)
    return PEFT_TYPE_TO_TUNER_MAPPING[kind](shelf, config, "default")
