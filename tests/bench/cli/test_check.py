"""`bench check` on users' own methods: what holds, and one sentence for each broken promise."""

from __future__ import annotations

import textwrap

import pytest

from bench.cli.app import main
from bench.models.contract import PROMISES, Subject
from methods import get

BUFFER = "stages.0.blocks.1.attn_branch.inner.mask"
OWN = """
    from dataclasses import dataclass, replace
    from functools import partial
    from typing import ClassVar

    import torch
    from torch import nn

    from methods import surgery
    from methods.base import Method, MethodInfo, find_sites
    from methods.low_rank.lora import Lora
    from methods.settings import at_least, setting
    from methods.sites import Role


    class Gate(nn.Module):
        def __init__(self, width, drifting, inner):
            super().__init__()
            self.inner, self.drifting = inner, drifting
            self.gate = nn.Parameter(torch.zeros(width))

        def forward(self, x):
            for tensor in self.drifting:
                with torch.no_grad():
                    tensor.add_(1)
            return self.inner(x) * (1 + self.gate)


    @dataclass(frozen=True)
    class Gated(Method):
        start: float = setting(0.0, "where the gates start", at_least(0))
        info: ClassVar[MethodInfo] = MethodInfo(
            "gated", "Gated", "nobody's", "", (Role.BLOCK,), True, "gates are shut"
        )

        def inject(self, backbone):
            for site in self.find_sites(backbone, Role.BLOCK):
                surgery.wrap(site, partial(Gate, site.width, self.drifting(backbone)))
                nn.init.constant_(site.module.gate, self.start)

        def expected_tuned(self, backbone):
            return sum(site.width for site in self.find_sites(backbone, Role.BLOCK))

        def drifting(self, backbone):
            return []


    class Drifting(Gated):
        def drifting(self, backbone):
            return [buffer for buffer in backbone.buffers() if buffer.is_floating_point()][:1]


    class Miscounted(Gated):
        def expected_tuned(self, backbone):
            return 7


    class Forgetful(Gated):
        def inject(self, backbone):
            super().inject(backbone)
            for site in find_sites(backbone, Role.BLOCK)[:1]:
                site.module.forgotten = nn.Parameter(torch.ones(3))

        def expected_tuned(self, backbone):
            return super().expected_tuned(backbone) + 3


    class Thawing(Gated):
        def inject(self, backbone):
            super().inject(backbone)
            backbone.norm.weight.requires_grad_(True)


    class Renamed(Lora):
        info = replace(Lora.info, name="renamed", mergeable=False)
"""


@pytest.fixture(autouse=True)
def _own_module(tmp_path, monkeypatch):
    (tmp_path / "own_methods.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")


def test_a_users_method_that_keeps_its_promises_passes(capsys):
    assert main(["check", "own_methods:Gated"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("holds") == 2 * len(PROMISES)
    assert "gated: what it declares" in printed


def test_several_methods_get_a_line_for_each_backbone(capsys):
    asked = "linear,own_methods:Gated,own_methods:Drifting"
    assert main(["check", asked, "--backbone", "tiny_swin"]) == 1
    lines = capsys.readouterr().out.splitlines()
    whole = len(PROMISES)
    assert lines[:2] == [f"linear on tiny_swin: {whole} hold", f"gated on tiny_swin: {whole} hold"]
    assert "; frozen stays frozen: fails: training changed what is frozen" in lines[2]


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("Gated[start=0.5]", "fails: declared the identity, but step 0 differs by"),
        ("Drifting", f"fails: training changed what is frozen: {BUFFER}"),
        ("Forgetful", "fails: no gradient reaches stages.0.blocks.0.forgotten"),
    ],
)
def test_a_broken_promise_is_exit_code_1_and_a_sentence(method, sentence, capsys):
    assert main(["check", f"own_methods:{method}", "--backbone", "tiny_swin"]) == 1
    assert sentence in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "check", "sentence"),
    [
        ("Drifting", "frozen stays frozen", f"training changed what is frozen: {BUFFER}"),
        ("Miscounted", "tuned parameters", "trains 720 parameters, its closed form says 7"),
        ("Forgetful", "gradients", "no gradient reaches stages.0.blocks.0.forgotten"),
        ("Thawing", "tuned parameters", "of the frozen backbone, these train: norm.weight"),
        ("Renamed", "distinct", "trains the same tensors as lora"),
        ("Renamed", "merge", "not declared mergeable, but merges"),
    ],
)
def test_a_wrong_declaration_is_said_in_a_sentence(kind, check, sentence):
    assert PROMISES[check](Subject(get(f"own_methods:{kind}")(), "tiny_swin")) == sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lroa"], "unknown method 'lroa' (did you mean 'lora'?)"),
        (["no_such:Thing"], "method 'no_such:Thing': there is no module 'no_such'"),
        (
            ["own_methods:Gate"],
            "method 'own_methods:Gate': 'Gate' must be a subclass of methods.base.Method, got",
        ),
        (
            ["methods.low_rank.lora:Lora"],
            "method 'methods.low_rank.lora:Lora': info.name must be a name of its own, got 'lora'",
        ),
        (
            ["lora", "--backbone", "tiny_vti"],
            "unknown backbone 'tiny_vti' (did you mean 'tiny_vit'?)",
        ),
    ],
)
def test_what_cannot_be_checked_is_bad_input(arguments, sentence, capsys):
    assert main(["check", *arguments]) == 2
    assert sentence in capsys.readouterr().err
