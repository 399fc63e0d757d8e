"""A network that compiles itself, on a backend that needs no C++ compiler."""

from __future__ import annotations

import copy
import sysconfig
import time

import pytest
import torch
from torch import nn

import methods
from bench.cost.compiling import compile_s, was_compiling, watch_compiler, work_s
from bench.cost.flops import counted_passes
from bench.models import compiled
from bench.models.compiled import (
    CompileError,
    check_compiler,
    compile_network,
    describe_compile_error,
    is_compiled,
    uncompiled,
)
from bench.models.segmenter import Segmenter
from bench.models.subject import CHANNELS, Subject, iter_losses


class Network(nn.Module):
    """Tells whether torch traces it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.was_traced: list[bool] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.was_traced.append(torch.compiler.is_compiling())
        return self.linear(x)


class Looking(nn.Module):
    """Does what depends on numbers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


@pytest.fixture(autouse=True)
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    monkeypatch.setattr(compiled, "OPTIONS", None)


def test_only_the_forward_pass_is_replaced() -> None:
    model = Network()
    names = [*model.state_dict()]
    compile_network(model)
    assert is_compiled(model)
    assert [*model.state_dict()] == names
    model(torch.ones(1, 3))
    assert model.was_traced == [True]
    with uncompiled(model):
        assert not is_compiled(model)
        model(torch.ones(1, 3))
    assert is_compiled(model)
    assert model.was_traced == [True, False]
    with uncompiled(nn.Linear(1, 1)) as nothing:  # of one that is not compiled
        assert nothing is None


def test_passes_are_counted_after_the_network_was_compiled() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    compile_network(model)
    model(torch.ones(4, 3))
    with counted_passes(model) as passes:
        model(torch.ones(4, 3))
        model(torch.ones(4, 3))
        model(torch.ones(1, 3))
    model(torch.ones(4, 3))
    assert passes.n_passes == 9


def test_the_clock_stands_still_while_the_network_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build_slowly(graph: torch.fx.GraphModule, inputs: object) -> object:
        time.sleep(0.5)
        return graph.forward

    monkeypatch.setattr(compiled, "BACKEND", build_slowly)
    watch_compiler()
    watch_compiler()  # counts nothing twice
    model = nn.Linear(3, 2)
    compile_network(model)
    began_s, before_s, started_s = time.time(), compile_s(), work_s()
    model(torch.ones(1, 3))
    taken_s, worked_s = compile_s() - before_s, work_s() - started_s
    assert 0.5 < taken_s < time.time() - began_s
    assert worked_s < 0.5
    assert was_compiling(began_s + 0.4)
    assert not was_compiling(began_s - 1)
    before_s = compile_s()
    model(torch.ones(1, 3))
    assert compile_s() == before_s
    model(torch.ones(2, 3))  # another size is another version
    assert compile_s() > before_s + 0.5


def test_what_cannot_be_traced_is_an_error_in_a_sentence() -> None:
    model = Looking()
    compile_network(model)
    with pytest.raises(Exception, match="branching") as caught:
        model(torch.ones(2))
    sentence = describe_compile_error(caught.value)
    assert sentence is not None
    assert sentence.startswith("--compile: torch cannot compile the network: ")
    assert sentence.endswith("(without --compile it computes as well)")
    assert "\n" not in sentence
    assert describe_compile_error(ValueError("another")) is None


def test_gradients_round_as_those_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of each is that of the plain network, where float64 is the truth.

    A bias in front of a batch norm has no gradient but rounding errors: relative to itself, any two
    networks differ there.
    """
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    model = Subject(methods.build("med_adapter", {"blocks": "last_1"})).build_tuned()
    plain, exact = find_gradients(model), find_gradients(copy.deepcopy(model).double())
    compile_network(model)
    found = find_gradients(model)
    assert found.keys() == plain.keys() == exact.keys()
    scale = max(float(gradient.abs().max()) for gradient in exact.values())
    without = [name for name in exact if float(exact[name].abs().max()) < 1e-12 * scale]
    assert [name.rpartition("branches.")[2] for name in without] == [
        "0.along_depth.bias",
        "1.along_depth.bias",
    ]
    for name, truth in exact.items():
        error = float((found[name] - truth).abs().max())
        usual = float((plain[name] - truth).abs().max())
        assert error <= 4 * usual + 1e-6 * float(truth.abs().max()) + 1e-7 * scale, name


def find_gradients(model: Segmenter) -> dict[str, torch.Tensor]:
    """Return the gradients of one step on noise, in float64."""
    model.train().zero_grad()
    dtype = next(model.parameters()).dtype
    volume = torch.randn(2, CHANNELS, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    next(iter_losses(model, volume.to(dtype))).backward()
    named = model.named_parameters()
    return {name: each.grad.double() for name, each in named if each.grad is not None}


def test_too_many_sizes_are_an_error_and_not_computed_without_the_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "MOST_VERSIONS", 2)
    model = Network()
    compile_network(model)
    for size in (1, 2):
        model(torch.ones(size, 3))
    with pytest.raises(Exception, match="Hard failure") as caught:
        model(torch.ones(3, 3))
    assert describe_compile_error(caught.value) == (
        "--compile: batches must have at most 2 sizes, got more "
        "(without --compile it computes as well)"
    )


def test_a_device_without_a_compiler_is_one_sentence() -> None:
    with pytest.raises(CompileError, match="must be a CPU or an NVIDIA GPU, got mps"):
        check_compiler("mps")
    if not torch.cuda.is_available():
        with pytest.raises(CompileError, match=r"compute capability >= 7.0 and the package triton"):
            check_compiler("cuda")


def test_missing_headers_of_python_are_named(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_has_compiler", lambda: True)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(CompileError, match=r"Python\.h \(the headers of Python, python3-dev\)"):
        check_compiler("cpu")
