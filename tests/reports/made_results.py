"""Results made from a formula, for tests of the reports; they are no measurements."""

import json
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np

from reports.records.cost import Compute, Cost, Memory, Merged, Timing
from reports.records.run import CaseScore, EpochRecord, RunResult, Status

FIXTURE = Path(__file__).parent / "fixture" / "results.json"
REGIONS = {"brats": ("WT", "TC", "ET"), "kits": ("kidney", "tumour"), "lits": ("liver", "tumour")}
SHIFT = {
    "full": 0.06,
    "linear": 0.0,
    "vpt_deep": 0.01,
    "lora": 0.03,
    "adaptformer": 0.05,
    "med_adapter": 0.055,
}
TUNED = {
    "full": 1_231_000,
    "linear": 0,
    "vpt_deep": 7_680,
    "lora": 24_576,
    "adaptformer": 99_456,
    "med_adapter": 47_904,
}
TOTAL = 1_231_000


def make_result(
    method: str,
    dataset: str = "brats",
    fold: int = 0,
    seed: int = 0,
    n_cases: int = 10,
    settings: dict | None = None,
    label: str = "",
    weights: str = "none",
    shots: int | None = None,
    backbone: str = "tiny_vit",
) -> RunResult:
    """Return a finished run whose scores follow from its arguments alone."""
    label = label or method
    hard = np.random.default_rng([fold, len(dataset)]).uniform(
        0.5, 0.8, size=n_cases
    )  # a case is hard for everybody
    noise = np.random.default_rng([seed, fold, *label.encode(), *weights.encode(), shots or 0])
    shift = SHIFT[method] + (0.03 if weights != "none" else 0) - (0.1 / shots if shots else 0)
    cases = []
    for index, base in enumerate(hard):
        for offset, region in enumerate(REGIONS[dataset]):
            dice = float(
                np.clip(base + shift - 0.03 * offset + noise.normal(0, 0.02), 0, 1).round(4)
            )
            distance, surface = round(30 * (1 - dice), 2), round(min(1.0, dice + 0.05), 4)
            case = f"{dataset}_{fold}_{index:02d}"
            cases.append(
                CaseScore(case, region, dice, distance, 4000, 3900, 3000, surface, 1.0, 4.0, 3.9)
            )
    data = {"patch": [16, 64, 64]} | ({"shots": shots} if shots else {})
    protocol = {
        "data": data,
        "model": {"backbone": backbone, "weights": weights},
        "train": {"lr": 0.001, "epochs": 5},
    }
    return RunResult(
        run_id=f"fixture-{dataset}-{label}-{weights}-{shots or 'all'}-f{fold}-s{seed}".replace(
            "[", "-"
        ).replace("]", ""),
        status=Status.DONE,
        reason="",
        method=method,
        settings=settings or {},
        label=label,
        dataset=dataset,
        backbone=backbone,
        weights=weights,
        fold=fold,
        seed=seed,
        protocol_id=f"{dataset[:2]}{backbone[:2]}{weights[:2]}{shots or 'all'}",
        protocol=protocol,
        synthetic=True,
        regions=REGIONS[dataset],
        cases=tuple(cases),
        curve=tuple(
            EpochRecord(
                epoch,
                round(1 / (epoch + 1) + 0.01 * seed, 4),
                1e-3,
                round(0.5 + shift + 0.04 * epoch, 4),
            )
            for epoch in range(5)
        ),
        best_epoch=4,
        cost=make_cost(method, noise),
        provenance={
            "git_commit": "fixture",
            "device": "cpu",
            "python": "3.11",
            "packages": {"torch": "fixture"},
        },
    )


def make_cost(method: str, noise: np.random.Generator) -> Cost:
    """Return costs in the order of magnitude of the tiny ViT."""
    tuned = TUNED[method]
    return Cost(
        params_total=TOTAL + 300_000,
        params_tuned=tuned,
        params_decoder=300_000,
        params_tuned_frac=tuned / TOTAL,
        fit_s=round(40 + tuned / 60_000 + float(noise.uniform(0, 2)), 2),
        score_s=3.0,
        peak_memory_mib=500.0 + tuned // 20_000,
        compute=Compute(2 * (3.2 + tuned / 1e6), 2 * (6.1 + tuned / 2e5)),
        memory=Memory(6.0, tuned / 2**18, tuned / 2**17, 120.0),
        train_step=Timing(0.08 + tuned / 5e7, 0.004, 20),
        inference=Timing(0.5 + (0 if method in ("full", "linear") else 0.05), 0.01, 5),
        merged=Merged(Timing(0.5, 0.01, 5), 1e-6) if method == "lora" else None,
        delta_mib=round((tuned + 300_000) * 4 / 2**20, 3),
    )


def with_protocol(result: RunResult, protocol_id: str = "", **fields: object) -> RunResult:
    """Return the run under a protocol with other fields, such as ``train_lr=0.1``."""
    protocol = {name: dict(section) for name, section in result.protocol.items()}
    for key, value in fields.items():
        section, _, name = key.partition("_")
        protocol.setdefault(section, {})[name] = value
    protocol_id = protocol_id or "-".join([result.protocol_id, *map(str, fields.values())])
    run_id = f"{result.run_id}-{protocol_id}"
    return replace(result, run_id=run_id, protocol=protocol, protocol_id=protocol_id)


def tuned_on(result: RunResult, study_fold: int, trials: int = 8) -> RunResult:
    """Return the run as one whose settings a study on a fold has chosen."""
    tuned = with_protocol(result, tune_trials=trials, tune_epochs=10, tune_per_fold=False)
    name = f"{result.dataset}-{result.method}-{result.backbone}-f{study_fold}"
    return replace(tuned, study=f"{name}#3")


def without_numbers(result: RunResult, status: Status, reason: str) -> RunResult:
    """Return the run as one that ended badly."""
    return replace(
        result, status=status, reason=reason, cases=(), curve=(), cost=None, best_epoch=None
    )


def make_fixture() -> list[RunResult]:
    """Return two data sets, folds and seeds, six methods; one sweep, and one of each bad end."""
    results = [
        make_result(method, dataset, fold, seed)
        for dataset, fold, seed, method in product(("brats", "kits"), (0, 1), (0, 1), SHIFT)
    ]
    results += [
        make_result("lora", "brats", fold, seed, settings={"rank": 4}, label="lora[rank=4]")
        for fold, seed in product((0, 1), (0, 1))
    ]
    ends = {
        ("kits", "full"): (Status.OOM, "out of memory: 100 % of 8 GiB <used>"),
        ("kits", "vpt_deep"): (Status.SKIPPED, "vpt_deep needs role 'prompt'"),
    }
    found = []
    for result in results:
        end = ends.get((result.dataset, result.label))
        if result.method == "lora":
            result = replace(result, settings={"rank": 8} | result.settings)
        if (result.dataset, result.label, result.fold, result.seed) == ("brats", "vpt_deep", 1, 1):
            end = (Status.FAILED, "RuntimeError: no_luck")
        found.append(without_numbers(result, *end) if end else result)
    return [
        result for result in found if (result.dataset, result.label) != ("kits", "adaptformer")
    ]  # never run


def read_fixture() -> list[RunResult]:
    """Return the committed results."""
    later = asdict(make_result("linear")) | {
        "cases": [],
        "curve": [],
        "cost": None,
    }  # fields that are newer than the file
    return [RunResult.from_json(json.dumps(later | raw)) for raw in json.loads(FIXTURE.read_text())]


if __name__ == "__main__":
    FIXTURE.write_text(
        "[\n" + ",\n".join(json.dumps(asdict(result)) for result in make_fixture()) + "\n]\n"
    )
