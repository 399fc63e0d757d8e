"""How the runs behind a table were made, in sentences: cases, folds, protocols, tuning, machines.

Every sentence is computed from the records. A table's columns are comparisons whose settings differ
in one field of `Setting`.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter

from reports.analysis.comparison import MethodComparison
from reports.analysis.protocols import DECODER_FIELDS, OWN_FIELDS, describe_columns
from reports.analysis.tidy import describe_decoder, name_tuning
from reports.records.run import RunResult
from reports.records.study import describe_budget

DEFAULT = "default"
SEEN_MARK = "‡"


def name_column(comparison: MethodComparison, field: str) -> str:
    """Return how a table calls the column of a setting that differs from the others in a field."""
    setting = comparison.setting
    if field == "tuned":
        return name_tuning(setting.tuned) if setting.tuned else DEFAULT
    if field == "dataset":
        return comparison.heading
    if field == "setting":
        return comparison.title
    value = getattr(setting, field)
    return "all" if value is None else comparison.names.find(str(value))


def describe_runs(comparisons: Sequence[MethodComparison], field: str) -> str:
    """Return how many held-out cases of which folds and seeds a table is over.

    Columns are named one by one where they are not over the same.
    """
    facts = {name_column(each, field): _describe_cells(each) for each in comparisons}
    different = list(dict.fromkeys(facts.values()))
    if len(different) > 1:
        listed = [f"{name}: {cases}, {runs}" for name, (cases, runs) in facts.items()]
        return f"{'; '.join(listed)}."
    sentence = f"{'; '.join(different[0])}."
    if field not in ("dataset", "setting") and not _have_equal_cases(comparisons):
        sentence += " The columns are not over the same cases."
    return sentence


def _describe_cells(comparison: MethodComparison) -> tuple[str, str]:
    count = comparison.rows["n_cases"].max()
    cases = f"{count} held-out case{'s' if count != 1 else ''}"
    if comparison.intersection:
        cases += " that all methods have"
    results = comparison.results
    return cases, f"{_list_numbers(results, 'fold')}, {_list_numbers(results, 'seed')}"


def _list_numbers(results: Sequence[RunResult], field: str, noun: str = "") -> str:
    """Return the numbers in a field of the runs, behind the noun for them (by default its name)."""
    numbers = sorted(set(map(attrgetter(field), results)))
    plural = "s" if len(numbers) > 1 else ""
    return f"{noun or field}{plural} {', '.join(map(str, numbers))}"


def _have_equal_cases(comparisons: Sequence[MethodComparison]) -> bool:
    sets = []
    for comparison in comparisons:
        sets.append(set() if comparison.cases.empty else set(comparison.cases["case"]))
    return all(cases == sets[0] for cases in sets)


def describe_protocols(comparisons: Sequence[MethodComparison], field: str) -> str:
    """Return the protocols' hashes, and in what they differ beside the field of the columns."""
    warning = describe_mixture(comparisons)
    if warning:
        return warning
    results = [result for comparison in comparisons for result in comparison.results]
    protocols = list(dict.fromkeys(result.protocol_id for result in results))
    sentence = f"Protocol{'s' if len(protocols) > 1 else ''} {', '.join(protocols)}"
    difference = find_difference(comparisons, field)
    if difference:
        return f"{sentence}, which DIFFER in {difference}."
    if len(comparisons) > 1 and field != "dataset":
        return f"{sentence}, which differ in {', '.join(_name_fields(comparisons, field))} alone."
    return f"{sentence}."


def _name_fields(comparisons: Sequence[MethodComparison], field: str) -> list[str]:
    """Return the protocol's fields in which the settings differ; those of a decoder if they do."""
    decoders = {describe_decoder(each.setting, each.names) for each in comparisons}
    left_out = DECODER_FIELDS if len(decoders) == 1 else ()
    return [name for name in OWN_FIELDS[field] if name not in left_out]


def describe_mixture(comparisons: Sequence[MethodComparison]) -> str:
    """Return in what the protocols of single settings differ; empty if each has one."""
    mixed = [comparison.difference for comparison in comparisons if comparison.mixed]
    return f"MIXED protocols: {'; '.join(mixed)}." if mixed else ""


def warn_of_differences(comparisons: Sequence[MethodComparison], field: str) -> list[str]:
    """Return the sentences that a picture's caption must have: differences of what was run."""
    sentences = [describe_mixture(comparisons)]
    difference = find_difference(comparisons, field)
    if difference:
        sentences.append(f"Protocols DIFFER in {difference}.")
    results = [result for comparison in comparisons for result in comparison.results]
    return [*filter(None, sentences), *describe_environment(results)]


def warn_briefly(comparisons: Sequence[MethodComparison], field: str) -> Iterator[str]:
    """Yield the warnings that a caption of few lines must have; the notes have the details."""
    made = [each.heading for each in comparisons if each.synthetic]
    if made:
        which = "" if len(made) == len(comparisons) else f" ({', '.join(made)})"
        yield f"SYNTHETIC phantoms{which}, not patient data."
    if describe_mixture(comparisons):
        yield "MIXED protocols (notes)."
    elif find_difference(comparisons, field):
        yield "Protocols DIFFER (notes)."
    if describe_environment([run for each in comparisons for run in each.results]):
        yield "Machines or versions DIFFER (notes)."


def find_difference(comparisons: Sequence[MethodComparison], field: str) -> str:
    """Return in what the protocols of columns differ beside their own field; empty: in nothing."""
    columns = {name_column(each, field): each.results for each in comparisons}
    return describe_columns(columns, without=OWN_FIELDS[field])


def check_columns(
    kind: str, comparisons: Sequence[MethodComparison], field: str, *, allow_mixed: bool
) -> None:
    """Raise ValueError if the columns' protocols differ in anything but the field of the columns.

    With ``allow_mixed`` they may; the caption has the difference.
    """
    difference = find_difference(comparisons, field)
    if difference and not allow_mixed:
        rule = f"the columns of a {kind} table must differ in {', '.join(OWN_FIELDS[field])} alone"
        hint = "--allow-mixed puts them in one table"
        raise ValueError(f"report: {rule}, got {difference} ({hint})")


def describe_environment(results: Sequence[RunResult]) -> list[str]:
    """Return in what the machines of the finished runs differ, which changes numbers a little."""
    done = [run for run in results if run.cases]
    differing = []
    for name, values in _read_environments(done).items():
        if len(values) > 1:
            differing.append(f"{name} ({', '.join(sorted(values))})")
    return [f"Runs DIFFER in {', '.join(differing)}."] if differing else []


def _read_environments(results: Sequence[RunResult]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for run in results:
        for name, value in _iter_environment(run):
            found.setdefault(name, set()).add("not recorded" if value is None else str(value))
    return found


def _iter_environment(run: RunResult) -> Iterator[tuple[str, object]]:
    facts = run.provenance
    device = facts.get("device")
    yield "device", device and str(device).partition(":")[0]
    yield "device name", facts.get("device_name")
    yield "devices of a run", run.n_devices
    yield "threads", facts.get("threads")
    yield "torch", facts.get("packages", {}).get("torch")
    yield "precision", facts.get("precision") or run.protocol.get("train", {}).get("precision")


def describe_tuning(
    comparisons: Sequence[MethodComparison], field: str, mark: str = SEEN_MARK
) -> list[str]:
    """Return where the methods' settings come from, and which held-out cases tuning could use.

    ``mark`` is that of the methods whose settings were chosen with held-out cases of other folds.
    """
    runs = [run for comparison in comparisons for run in comparison.results]
    but = ", but for those in brackets" if any("[" in run.label for run in runs) else ""
    sources = {}
    for comparison in comparisons:
        source = f"not tuned: default settings{but}"
        if comparison.setting.tuned:
            source = _describe_budget(comparison)
        sources[name_column(comparison, field)] = source
    words = list(dict.fromkeys(sources.values()))
    sentences = [f"{words[0][0].upper()}{words[0][1:]}."]
    if len(words) > 1:
        sentences = [f"{name}: {source}." for name, source in sources.items()]
    seen = list(filter(has_seen_held_out, runs))
    if seen:
        first = f"{mark}: settings" if mark else "Settings"
        folds = _list_numbers(seen, "fold")
        part = f"whose training part has the held-out cases of {folds}"
        sentences.append(f"{first} chosen on {_list_numbers(seen, 'tuned_on', 'fold')}, {part}.")
    return sentences


def _describe_budget(comparison: MethodComparison) -> str:
    """Return with how much tuning, and on which fold, the settings of a comparison were chosen."""
    tune = comparison.results[0].protocol.get("tune", {})
    budget = describe_budget(tune)
    if not budget:
        return "settings tuned with a budget that is not recorded"
    if comparison.mixed:  # the difference is named beside the protocols
        return f"settings tuned with {budget} a method"
    epochs = f" ({tune['epochs']} epochs each)" if tune.get("epochs") else ""
    known = [run for run in comparison.results if run.tuned_on is not None]
    where = _list_numbers(known, "tuned_on", "fold") if known else "a fold that is not recorded"
    if tune.get("per_fold"):
        where = "each fold by itself"
    part = "on inner validation cases"
    return f"settings tuned with {budget} a method{epochs} {part} of {where}"


def has_seen_held_out(run: RunResult) -> bool:
    """Return whether a run's settings were chosen on a fold that trains on its held-out cases."""
    return run.tuned_on is not None and run.tuned_on != run.fold
