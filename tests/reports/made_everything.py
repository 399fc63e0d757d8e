"""Results and studies from formulas that every kind of table has something to show of."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from reports.records.cost import PhaseTime
from reports.records.release import ReleaseRecord
from reports.records.run import REFERENCE, RunResult, Status
from reports.records.study import StudyRecord, TrialRecord
from tests.reports.made_results import SHIFT, make_result, tuned_on, without_numbers

RELEASES = {
    "brats2019": ReleaseRecord("BraTS 2019", "brats", {"brats2020": "is contained in"}),
    "brats2020": ReleaseRecord("BraTS 2020", "brats"),
    "kits19": ReleaseRecord("KiTS19", "kits"),
}
COMPONENTS: Mapping[str, Mapping[str, Any]] = {  # settings of the Med-Adapter by label
    "med_adapter[fourier=false]": {"fourier": False, "conv3": True, "conv5": True, "ratio": 6},
    "med_adapter[conv3=false]": {"fourier": True, "conv3": False, "conv5": True, "ratio": 6},
    "med_adapter[ratio=4,conv5=false]": {
        **{"fourier": True, "conv3": True, "conv5": False, "ratio": 4}
    },
}
TUNE = {
    **{"trials": 4, "budget_s": 0.0, "epochs": 10, "sampler": "tpe", "pruner": "median"},
    **{"objectives": "dice,params", "per_fold": False, "seed": 0},
}


def make_everything() -> list[RunResult]:
    """Return runs of three releases, two pre-trainings, few cases, tuned ones and bad ends."""
    found = list(_iter_runs(RELEASES, SHIFT))
    found += [_tune(run) for run in found if run.dataset == "brats2019"]
    found += _iter_runs(["brats2019"], SHIFT, weights="in21k")
    found += _iter_runs(["brats2019"], ["linear", "lora"], shots=5)
    for label, settings in COMPONENTS.items():
        found += _iter_runs(["brats2020"], ["med_adapter"], label=label, settings=dict(settings))
    whole = replace(make_result("full"), method="net:nnunet", label="net:nnunet", kind=REFERENCE)
    found.append(replace(_put_in(whole, "brats2019"), backbone="", weights=""))
    return list(map(_end_badly, found))


def _iter_runs(
    releases: Iterable[str], methods: Iterable[str], **options: Any
) -> Iterator[RunResult]:
    for name, method, fold in product(releases, methods, (0, 1)):
        made = make_result(method, RELEASES[name].family, fold, **options)
        yield _put_in(_add_phases(made), name)


def _put_in(run: RunResult, name: str) -> RunResult:
    return replace(run, dataset=name, release=RELEASES[name], run_id=f"{run.run_id}-{name}")


def _add_phases(run: RunResult) -> RunResult:
    assert run.cost is not None
    phases = (("prepare", 6), ("fit", 60), ("validate", 10), ("score", 15), ("measure", 8))
    times = tuple(PhaseTime(name, 1, seconds, seconds) for name, seconds in phases)
    return replace(run, cost=replace(run.cost, phases=times, data_wait_s=9.0, gpu_busy_frac=0.8))


def _tune(run: RunResult) -> RunResult:
    better = tuple(replace(row, dice=min(1.0, row.dice + 0.02)) for row in run.cases)
    return tuned_on(replace(run, cases=better), study_fold=0)


def _end_badly(run: RunResult) -> RunResult:
    """Return the run; VPT runs out of memory on KiTS, and fails in a fold of BraTS 2020."""
    if run.label == "med_adapter":
        run = replace(run, settings={"fourier": True, "conv3": True, "conv5": True, "ratio": 6})
    if (run.method, run.dataset) == ("vpt_deep", "kits19"):
        return without_numbers(run, Status.OOM, "out of memory: 100 % of 8 GiB <used>")
    if (run.method, run.dataset, run.fold) == ("vpt_deep", "brats2020", 1):
        return without_numbers(run, Status.FAILED, "RuntimeError: C:\\very_long#path/" + 9 * "x_y/")
    return run


def make_studies() -> list[StudyRecord]:
    """Return the studies of two methods, with values at the end of what was searched."""
    values: list[dict[str, Any]] = [
        *({"method.rank": 8, "train.lr": 1e-3}, {"method.rank": 16, "train.lr": 0.03}),
        *({"method.rank": 64, "train.lr": 0.03}, {"method.rank": 4, "train.lr": 1e-4}),
    ]
    ends = (("done", 0.5), ("done", 0.62), ("oom", None), ("done", 0.4))
    trials = []
    for number, ((status, dice), chosen) in enumerate(zip(ends, values, strict=True)):
        reason = "" if dice else "out of memory on cuda:0"
        trials.append(TrialRecord(number, status, chosen, dice, 24_000, 3600.0, reason))
    found = []
    for method, dataset in product(("lora", "adaptformer"), ("brats2019", "kits19")):
        names = (f"{dataset}-{method}", method, dataset, "tiny_vit", "none")
        protocol = {"train": {}}
        found.append(StudyRecord(*names, 0, 0, True, "12345678", TUNE, protocol, tuple(trials)))
    return found
