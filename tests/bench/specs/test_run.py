from dataclasses import fields, replace
from itertools import product
from pathlib import Path

import pytest

from bench.specs.presets import PRESETS, get_preset
from bench.specs.protocol import SECTIONS, DataSpec, Protocol, SpecError, TrainSpec, override
from bench.specs.run import MethodSpec, RunSpec, derive_seed
from methods.settings import ANY
from reports.records.study import Cell


def make_run(**changes) -> RunSpec:
    run = RunSpec(
        MethodSpec("lora", (("rank", "4"),)), "brats", "abc", 0, 0, Protocol(), Path("/data/brats")
    )
    return replace(run, **changes)


@pytest.mark.parametrize(
    ("assignment", "section", "name", "value"),
    [
        ("train.lr=3e-4", "train", "lr", 3e-4),
        ("train.epochs=7", "train", "epochs", 7),
        ("eval.flips=true", "eval", "flips", True),
        ("model.weights=in21k", "model", "weights", "in21k"),
        ("data.patch=32,128,128", "data", "patch", (32, 128, 128)),
    ],
)
def test_override_sets_one_field_of_the_right_type(assignment, section, name, value):
    changed = override(Protocol(), assignment)
    assert getattr(getattr(changed, section), name) == value
    assert type(getattr(getattr(changed, section), name)) is type(value)
    default = getattr(Protocol(), section)
    assert replace(getattr(changed, section), **{name: getattr(default, name)}) == default


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("train.lt=1", r"--set: unknown setting 'train.lt' \(did you mean 'train.lr'\?\)"),
        ("train.lr", r"--set: must look like train.lr=3e-4, got 'train.lr'"),
        ("train.lr=fast", r"--set: train.lr must be a number, got 'fast'"),
        ("train.epochs=1.5", r"--set: train.epochs must be an integer, got '1.5'"),
        ("train.epochs=0", r"train.epochs: must be >= 1, got 0"),
        ("train.lr=nan", r"train.lr: must be > 0, got nan"),
        ("train.lr=inf", r"train.lr: must be > 0, got inf"),
        ("tune.budget_s=inf", r"tune.budget_s: must be >= 0, got inf"),
        ("data.spacing_mm=1,nan,1", r"data.spacing_mm: must be positive, got \(1.0, nan, 1.0\)"),
        ("data.spacing_mm=inf,1,1", r"data.spacing_mm: must be positive, got \(inf, 1.0, 1.0\)"),
        ("train.method_lr=full=1e-4,full=1e-3", "positive rates such as .*, each once, got full"),
        ("eval.flips=maybe", r"--set: eval.flips must be true or false, got 'maybe'"),
        ("data.patch=32,128", r"--set: data.patch must be three integers D,H,W, got '32,128'"),
        (
            "train.precision=fp8",
            r"train.precision: must be one of 32-true, bf16-mixed, 16-mixed, got fp8",
        ),
    ],
)
def test_a_wrong_override_is_one_sentence(assignment, sentence):
    with pytest.raises(SpecError, match=sentence):
        override(Protocol(), assignment)


def test_no_setting_takes_a_number_that_is_not_finite():
    """Training would diverge, a budget never end, a volume have no size."""
    keys = []
    for section in SECTIONS:
        for item in fields(getattr(Protocol(), section)):
            is_word = item.metadata["must_be"] is ANY
            if not is_word or isinstance(item.default, int):
                keys.append(f"{section}.{item.name}")
    assert {"train.lr", "train.drop_path", "tune.budget_s", "data.spacing_mm"} < set(keys)
    for key, number in product(keys, ("nan", "inf", "-inf")):
        text = f"1,{number},1" if key in ("data.patch", "data.spacing_mm") else number
        with pytest.raises(SpecError, match=key):
            override(Protocol(), f"{key}={text}")


def test_run_id_tells_apart_what_changes_the_result_and_nothing_else():
    base = make_run()
    others = [
        make_run(method=MethodSpec("lora", (("rank", "8"),))),
        make_run(dataset="kits"),
        make_run(fingerprint="abd"),
        make_run(fold=1),
        make_run(seed=1),
        make_run(protocol=override(Protocol(), "train.lr=2e-3")),
    ]
    assert len({base.run_id, *(run.run_id for run in others)}) == 1 + len(others)
    assert make_run(root=Path("/elsewhere")).run_id == base.run_id
    assert base.run_id.startswith("brats-lora-rank=4-f0-s0-")


def test_a_run_belongs_to_its_cell_whatever_its_seed_and_other_settings_are():
    few = override(Protocol(), "data.shots=4")
    cell = make_run(fold=2, seed=5, protocol=override(few, "train.lr=2e-3")).cell
    assert cell == Cell("lora[rank=4]", "brats", "tiny_vit", "none", fold=2, shots=4)


def test_protocol_id_is_shared_by_methods_folds_and_seeds():
    same = [make_run(fold=3), make_run(seed=5), make_run(method=MethodSpec("full"))]
    assert {run.protocol_id for run in same} == {make_run().protocol_id}
    assert make_run(fingerprint="other").protocol_id != make_run().protocol_id


def test_derived_seeds_depend_on_every_component():
    seeds = {
        derive_seed("data", 0, 0),
        derive_seed("data", 0, 1),
        derive_seed("data", 1, 0),
        derive_seed("model", 0, 0),
    }
    assert len(seeds) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_presets_are_valid_and_unknown_ones_suggest():
    assert set(PRESETS) == {"demo", "quick", "paper"}
    assert PRESETS["paper"].protocol.data.patch == (128, 128, 128)
    with pytest.raises(SpecError, match=r"unknown preset 'papr' \(did you mean 'paper'\?\)"):
        get_preset("papr")


def test_protocol_checks_run_on_direct_construction():
    with pytest.raises(SpecError, match=r"data\.n_folds"):
        Protocol(data=DataSpec(n_folds=1))
    with pytest.raises(SpecError, match=r"train\.optimizer: must be adamw or adam, got sgd"):
        Protocol(train=TrainSpec(optimizer="sgd"))


def test_a_file_of_weights_counts_by_its_content_and_not_by_its_path():
    def with_file(path, sha256):
        return make_run(
            protocol=override(Protocol(), f"model.weights={path}"), weights_sha256=sha256
        )

    run = with_file("/a/vit.npz", "12345678ab")
    assert run.run_id == with_file("/elsewhere/other.npz", "12345678ab").run_id
    assert run.run_id != with_file("/a/vit.npz", "87654321ab").run_id
    assert run.protocol_record()["model"]["weights"] == "sha256:12345678ab"
    assert run.weights_label == "vit.npz@12345678"
    assert make_run(protocol=override(Protocol(), "model.weights=in21k")).weights_label == "in21k"


def test_a_reference_network_is_one_run_for_all_backbones():
    net = make_run(method=MethodSpec("net:nnunet", (("features", "4"),)), weights_sha256="")
    for assignment in ("model.backbone=vit_b16", "model.weights=in21k", "model.also_train=paper"):
        other = replace(net, protocol=override(net.protocol, assignment))
        assert (other.run_id, other.cell) == (net.run_id, net.cell)
    assert net.cell == Cell("net:nnunet[features=4]", "brats", "none", "none", 0, 0)
    longer = replace(net, protocol=override(net.protocol, "train.epochs=7"))
    assert longer.run_id != net.run_id
    assert "model" not in net.protocol_record()


def test_a_method_may_have_a_rate_of_its_own_that_tuning_overrides():
    protocol = override(Protocol(), "train.method_lr=full=1e-4, net:unetr=3e-4")
    full, lora = make_run(protocol=protocol, method=MethodSpec("full")), make_run(protocol=protocol)
    own = full.own_protocol.train
    assert (own.lr, own.decoder_lr) == (1e-4, 1e-4)
    assert lora.own_protocol == protocol
    assert full.protocol_id == lora.protocol_id != make_run().protocol_id
    tuned = replace(full, chosen=(("train.lr", "0.5"),)).own_protocol.train
    assert (tuned.lr, tuned.decoder_lr) == (0.5, 1e-4)


@pytest.mark.parametrize("text", ["full", "full=0", "full=fast", "full=1e-4,", "full=inf"])
def test_rates_of_methods_that_cannot_be_read_are_one_sentence(text):
    with pytest.raises(SpecError, match=r"train\.method_lr: must be empty, or positive rates such"):
        override(Protocol(), f"train.method_lr={text}")


def test_the_covariance_sampler_has_one_objective():
    two = override(Protocol(), "tune.objectives=dice,params")
    with pytest.raises(SpecError, match=r"tune\.sampler: cmaes must have one objective, got two"):
        override(two, "tune.sampler=cmaes")


def test_the_paper_preset_is_the_public_codes_protocol():
    protocol = PRESETS["paper"].protocol
    train, scoring, model = protocol.train, protocol.eval, protocol.model
    assert (train.loss, train.batch, train.accumulate) == ("dice", 2, 8)
    assert (train.optimizer, train.weight_decay, train.decay) == ("adam", 1e-5, "all")
    assert (train.lr, train.decoder_lr, train.method_lr) == (2e-3, 2e-3, "full=1e-4")
    assert (train.schedule, train.warmup_frac, train.epochs) == ("medtuning", 0.1, 250)
    assert (train.clip_norm, train.select) == (0, "last")
    assert (scoring.hd95, scoring.empty_policy, scoring.blend) == (
        "pooled",
        "medtuning",
        "constant",
    )
    assert (model.decoder, model.prefix_tokens, model.also_train) == ("medtuning", "drop", "paper")
