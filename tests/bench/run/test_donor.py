"""The decoder of an earlier run: which runs may give it, what names it, and that it stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.cli.app import main
from bench.cli.options import Request
from bench.cli.request import read_request
from bench.grid.plan import lay_out
from bench.run.delta_file import read_delta, write_delta
from bench.run.network import build, build_plain
from bench.run.provenance import describe_run
from bench.run.restore import load_run
from bench.specs.run import Donor, MethodSpec, RunSpec, run_folder
from bench.tuning.space import build_space
from datasets.brats import Brats
from reports.records.run import CaseScore, Status

BRATS = Brats.describe("brats2020")
PROTOCOL = ("data.patch=4,32,32", "data.n_folds=3")
FROZEN = "model.decoder_mode=frozen"
Ask = Callable[..., Request]


@pytest.fixture
def ask(phantoms: Path, tmp_path: Path) -> Ask:
    """Return a request for runs on fold 1 with the decoder of the run ``donor``."""

    def make(*settings: str, **fields: object) -> Request:
        given = {"methods": "lora", "folds": "1", "decoder_from": "donor", "backbone": "tiny_vit"}
        root = [str(phantoms)]
        common = Request(data_root=root, out=tmp_path, set=[*PROTOCOL, *settings])
        return replace(common, **(given | {"weights": "none"} | fields))

    return make


@pytest.fixture
def give(ask: Ask, tmp_path: Path) -> Callable[..., RunSpec]:
    """Write the folder of a run on fold 1 that is done, with a decoder drawn at random."""

    def write(name: str = "donor", status: Status = Status.DONE, **changes: object) -> RunSpec:
        (spec,) = plan(replace(ask(), decoder_from=None, methods="linear"))
        rows = [CaseScore(case, "WT", 0.5, 1.0, 10, 10) for case in held_out_of(spec)]
        result = replace(describe_run(spec), status=status, reason="", cases=tuple(rows))
        model = build(replace(spec, seed=changes.get("seed", 0)), BRATS)
        spec = replace(spec, **changes)
        folder = run_folder(tmp_path, spec).with_name(name)
        folder.mkdir(parents=True)
        write_delta(folder, model, spec, BRATS)
        replace(result, run_id=spec.run_id).write(folder)
        return spec

    return write


def plan(request: Request) -> Sequence[RunSpec]:
    return lay_out(read_request(request), lambda *progress: None).runs


def held_out_of(spec: RunSpec) -> Sequence[str]:
    from bench.run.cases import find_used, open_data, split_of

    dataset = open_data(spec)
    return split_of(dataset, find_used(dataset, spec), spec).test


@pytest.mark.parametrize("mode", ["frozen", "peft"])
def test_a_run_begins_with_the_decoder_of_another(mode, ask, give, tmp_path):
    donor = give()
    (spec,) = plan(ask(f"model.decoder_mode={mode}"))
    given = build(donor, BRATS).decoder.state_dict()
    assert spec.donor == Donor(donor.run_id, str(tmp_path / "runs" / "donor"), spec.donor.sha256)
    found = build_plain(replace(spec, seed=9), BRATS).decoder
    weight = found.head.weight.detach()
    assert torch.equal(weight, given["head.weight"])
    model = spec.protocol_record()["model"]
    assert (model["decoder_mode"], model["decoder_from"]) == (mode, f"sha256:{spec.donor.sha256}")


def test_a_donor_is_told_by_its_content(ask, give):
    give()
    give("copy")
    give("other", seed=4)
    first, copy, other = (
        plan(ask(FROZEN, decoder_from=name))[0] for name in ("donor", "copy", "other")
    )
    assert first.run_id == copy.run_id != other.run_id
    trained = plan(ask())[0]
    assert trained.run_id not in (first.run_id, plan(ask(decoder_from=None))[0].run_id)


def test_without_a_donor_the_record_is_that_of_older_ones(ask):
    (spec,) = plan(ask(decoder_from=None))
    assert not {"decoder_mode", "decoder_from"} & spec.protocol_record()["model"].keys()


@pytest.mark.parametrize(
    ("fields", "settings", "sentence"),
    [
        ({"decoder_from": "absent"}, (), r"must be the folder of a run, or its id .* got 'absent'"),
        ({"decoder_from": None}, (FROZEN,), r"decoder_mode=frozen needs the decoder of a run"),
        ({"backbone": "tiny_vit4"}, (), r"must be a decoder of tiny_vit4, got that of tiny_vit "),
        ({"decoder": "light"}, (), r"the decoder must be light, got linear from .*--decoder linea"),
        ({"methods": "lora,net:unetr"}, (), r"must be put into a backbone, got net:unetr"),
    ],
)
def test_what_does_not_fit_is_refused_before_data_are_read(fields, settings, sentence, ask, give):
    give()
    with pytest.raises(ValueError, match=f"^--decoder-from: .*{sentence}"):
        read_request(ask(*settings, **fields))


def test_a_run_that_is_not_done_gives_nothing(ask, give):
    spec = give(status=Status.DIVERGED)
    with pytest.raises(ValueError, match=f"run {spec.run_id} must be done, got diverged"):
        read_request(ask())


def test_a_network_without_our_decoder_gives_nothing(ask, give):
    give(method=MethodSpec("net:unetr"))
    with pytest.raises(ValueError, match=r"a decoder on a backbone, got .* of net:unetr"):
        read_request(ask())


def test_a_decoder_is_not_handed_on(ask, give):
    give(donor=Donor("first", "nowhere", "0" * 64))
    with pytest.raises(ValueError, match=r"its own decoder, got .* from first \(name that run\)"):
        read_request(ask())


def test_a_decoder_must_not_have_seen_the_held_out_cases(ask, give, capsys):
    spec = give()
    with pytest.raises(ValueError, match=rf"fold 0 of brats2020, .*{spec.run_id}.*\(--folds 1\)"):
        plan(ask(folds="all"))
    command = ["run", "--methods", "lora", "--decoder-from", "donor", "--folds", "2"]
    request = ask(FROZEN)
    command += ["--data-root", request.data_root[0], "--out", str(request.out), "--quiet"]
    command += ["--backbone", "tiny_vit", "--weights", "none", "--preset", "demo"]
    for setting in request.set:
        command += ["--set", setting]
    assert main(command) == 2
    assert "must not have seen held-out cases, got fold 2" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["brats2021", "brats2019", "fets2021"])
def test_a_release_that_shares_cases_is_refused(name, ask, give):
    give(dataset=name)
    with pytest.raises(ValueError, match=rf"on {name}; brats2020 .* {name} \(take a run on other"):
        plan(ask())


def test_other_data_may_have_been_seen(ask, give):
    give(dataset="somebodys")
    assert len(plan(ask(folds="all"))) == 3


def test_other_classes_and_shapes_are_refused(ask, give, tmp_path):
    spec = give()
    folder = tmp_path / "runs" / "donor"
    model = build(spec, BRATS)
    other = replace(BRATS, classes=("background", "necrosis", "oedema", "scar"))
    write_delta(folder, model, spec, other)
    with pytest.raises(
        ValueError, match=r"must have the classes of brats2020 \(.*enhancing\), got"
    ):
        plan(ask())
    model.decoder.head.bias = torch.nn.Parameter(torch.zeros(3))
    write_delta(folder, model, spec, BRATS)
    with pytest.raises(ValueError, match=r"head.bias must have shape 256 for this patch, got 3 fr"):
        plan(ask())


def test_a_donor_that_changes_ends_the_run_with_a_sentence(ask, give, tmp_path):
    spec = give()
    (planned,) = plan(ask(FROZEN))
    write_delta(tmp_path / "runs" / "donor", build(replace(spec, seed=8), BRATS), spec, BRATS)
    with pytest.raises(ValueError, match="has another decoder than when this run was planned"):
        build_plain(planned, BRATS)


def test_the_rate_of_a_frozen_decoder_is_not_searched(ask, give):
    give()
    rates = {"train.decoder_lr", "train.decoder_weight_decay"}
    for mode, searched in (("frozen", set()), ("peft", rates)):
        (spec,) = plan(ask(f"model.decoder_mode={mode}"))
        keys = {each.key for each in build_space(spec.method.build(), spec.protocol)}
        assert keys & rates == searched
        assert "train.lr" in keys


@pytest.mark.slow
def test_a_donor_and_the_runs_that_begin_with_its_decoder(
    phantoms, new_store, tmp_path, monkeypatch, capsys
):
    """Two commands and a table: nothing of a frozen decoder moves, residuals alone otherwise."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / "store"))
    common = ["run", "--preset", "demo", "--data-root", str(phantoms), "--folds", "1", "--quiet"]
    common += ["--device", "cpu", "--max-steps", "2", "--out", str(tmp_path), "--epochs", "1"]
    for setting in PROTOCOL:
        common += ["--set", setting]
    assert main([*common, "--methods", "linear"]) == 0
    (donor,) = (tmp_path / "runs").iterdir()
    more = ["--methods", "lora,linear", "--decoder-from"]
    for mode, source in (("frozen", donor.name), ("peft", str(donor))):
        setting = f"model.decoder_mode={mode}"
        assert main([*common, *more, source, "--set", setting]) == 0
    given = {key: each for key, each in read_delta(donor)[1].items() if key.startswith("decoder.")}
    results = [json.loads(file.read_text()) for file in tmp_path.glob("runs/*/result.json")]
    found = {
        (each["protocol"]["model"].get("decoder_mode"), each["method"]): each for each in results
    }
    assert {key: each["status"] for key, each in found.items()} == {
        (None, "linear"): "done",
        ("frozen", "lora"): "done",
        ("frozen", "linear"): "skipped",
        ("peft", "lora"): "done",
        ("peft", "linear"): "done",
    }
    frozen, adapted = found["frozen", "lora"], found["peft", "lora"]
    _, state = read_delta(tmp_path / "runs" / frozen["run_id"])
    assert all(torch.equal(state[name], tensor) for name, tensor in given.items())
    assert frozen["cost"]["params_decoder"] == 0
    assert 0 < adapted["cost"]["params_decoder"] < adapted["cost"]["params_decoder_plain"]
    assert (
        frozen["cost"]["compute"]["training_gflop"] < adapted["cost"]["compute"]["training_gflop"]
    )
    assert adapted["provenance"]["decoder_from"]["run_id"] == donor.name
    assert frozen["reload_max_abs_diff"] == adapted["reload_max_abs_diff"] == 0.0
    for file in donor.iterdir():
        if file.is_file():
            file.unlink()
    assert load_run(tmp_path / "runs" / adapted["run_id"], "cpu")[0].run_id == adapted["run_id"]
    capsys.readouterr()
    assert main(["report", "--kind", "paper", "--format", "latex"]) == 0
    table = capsys.readouterr().out
    sha256 = frozen["provenance"]["decoder_from"]["sha256"][:8]
    for words in ("frozen", "with low-rank residuals"):
        assert f"decoder {words} ({sha256})}}}} \\\\" in table
    assert f"Decoder {sha256}: of run" in table
    assert "DIFFER" not in table
