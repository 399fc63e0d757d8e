"""Inner validation looks at the same few cases for every method of a fold, by its own protocol."""

from dataclasses import replace

import pytest

from bench.run import fold as folds
from bench.run.setup import Hooks, set_up
from bench.run.watch.work import count_run, count_trial
from bench.specs.protocol import EvalSpec
from bench.specs.run import Place
from datasets.splits.rule import Split, draw_cases


def with_selection(spec, **fields):
    protocol = spec.protocol
    train = replace(protocol.train, **fields)
    scoring = EvalSpec(overlap=0.5, flips=True)
    data = replace(protocol.data, val_frac=0.5)  # two cases
    return replace(spec, protocol=replace(protocol, data=data, train=train, eval=scoring))


def validate(spec, prepared, folder, monkeypatch):
    """Return the cases of a validation, and how many windows went through the network."""
    looked_at, windows = [], []
    mean_dices = folds.mean_dices

    def watch(predict, cases, *rest):
        looked_at.extend(case.id for case in cases)
        return mean_dices(predict, cases, *rest)

    seen = []
    setup = set_up(spec, Place(folder, prepared, "cpu"), Hooks(on_validation=seen.append))
    setup.model.register_forward_pre_hook(lambda _, inputs: windows.append(len(inputs[0])))
    with monkeypatch.context() as patch:
        patch.setattr(folds, "mean_dices", watch)
        setup.data.validate()
    assert [len(dices) for dices in seen] == [len(looked_at)]
    return looked_at, sum(windows), setup


def test_few_cases_with_few_windows(make_run, prepared, tmp_path, monkeypatch):
    whole = with_selection(make_run("linear"))
    few = with_selection(make_run("linear"), val_cases=1, val_overlap="0", val_flips=False)
    all_cases, all_windows, setup = validate(whole, prepared, tmp_path, monkeypatch)
    cases, windows, cheap = validate(few, prepared, tmp_path, monkeypatch)
    assert all_cases == [case.id for case in setup.fold.val]
    assert len(cases) == 1 < len(all_cases)
    assert cases[0] in all_cases
    images = {case.id: case.image() for case in setup.fold.val}
    assert all_windows == sum(
        setup.inference.predict.count_windows(image) for image in images.values()
    )
    assert (
        cheap.inference.predict.spec == setup.inference.predict.spec
    )  # held-out cases are segmented as before
    assert 0 < windows < cheap.inference.predict.count_windows(images[cases[0]]) / 8


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_cases_depend_on_the_fold_alone(method, make_run, prepared, tmp_path, monkeypatch):
    first = with_selection(make_run("linear"), val_cases=1)
    other = replace(with_selection(make_run(method), val_cases=1), seed=3)
    expected = validate(first, prepared, tmp_path, monkeypatch)[0]
    assert validate(other, prepared, tmp_path, monkeypatch)[0] == expected


def test_fewer_cases_are_among_more_and_folds_draw_others():
    ids = [f"case-{number:02}" for number in range(20)]
    few, more = draw_cases(ids, 4, fold=0), draw_cases(ids, 9, fold=0)
    assert set(few) < set(more)
    assert list(more) == sorted(more)
    assert draw_cases(ids, 4, fold=1) != few
    assert draw_cases(ids[:3], 4, fold=0) == tuple(ids[:3])
    assert draw_cases(ids, 0, fold=0) == tuple(ids)


def test_the_work_of_a_run_counts_the_cases_that_are_looked_at(make_run):
    split = Split(("a", "b"), ("c", "d", "e"), ("f",))
    spec = with_selection(make_run("linear"), val_cases=2)
    assert count_run(spec, split)["validate"] == 2 * 2  # of two epochs
    assert count_trial(spec.protocol, 1)["validate"] == 2
    assert count_run(with_selection(make_run("linear")), split)["validate"] == 2 * 3
