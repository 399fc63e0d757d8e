"""What the search of values before a grid takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.cli.options import TuneRequest
from bench.cost.phases import predict_s
from bench.grid.bill.bill import Bill
from bench.grid.bill.ready import Ready
from bench.run.cases import split_of
from bench.run.watch.progress import format_time
from bench.run.watch.work import count_trial
from bench.specs.run import RunSpec
from bench.tuning.plan import StudyPlan, plan_studies
from reports.formats.terminal import escape


@dataclass(frozen=True)
class Search:
    """A study and what it takes at most, since pruned trials end earlier."""

    name: str
    n_trials: int
    seconds: float


def price_searches(
    specs: Sequence[RunSpec], bill: Bill, ready: Ready, tuning: TuneRequest
) -> list[Search]:
    """Return what the studies of a grid take, at the pace of its runs."""
    plans = plan_studies(specs, ready.out, tuning.search or (), tuning.study, tuning.dimensions)
    paces = {}
    for item in bill.items:
        if item.price is not None:
            paces[(str(item.spec.method), item.spec.dataset)] = item.price.pace
    searches = []
    for plan in plans:
        pace = paces.get((str(plan.run.method), plan.run.dataset))
        trial_s = _predict_trial(plan, ready, pace) if pace is not None else None
        if trial_s is not None:
            searches.append(Search(plan.name, plan.tune.trials, plan.tune.trials * trial_s))
    return searches


def describe_searches(searches: Sequence[Search]) -> list[str]:
    """Return a line for each search."""
    lines = []
    for each in searches:
        took = f"at most {format_time(each.seconds)}"
        lines.append(f"before:       {escape(each.name)}: {each.n_trials} trials, {took}")
    return lines


def _predict_trial(plan: StudyPlan, ready: Ready, pace: dict[str, float]) -> float | None:
    by_name = {source.name: source for source in ready.plan.sources}
    source = by_name[plan.run.dataset]
    trial = plan.trial_run({})
    split = split_of(source.dataset, source.cases, trial)
    return predict_s(count_trial(trial.own_protocol, len(split.val)), pace)
