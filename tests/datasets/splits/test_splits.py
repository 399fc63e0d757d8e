from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from datasets.base import Case, DataError
from datasets.splits.file import AUTO, SPLITS_FILE, find_split_file
from datasets.splits.rule import split_cases


def make_cases(ids: list[str], patients: list[str] | None = None) -> list[Case]:
    return [
        Case(id=id_, patient=patient, images={"ct": Path(id_)}, label=Path(id_))
        for id_, patient in zip(ids, patients or ids, strict=True)
    ]


KITS19 = make_cases([f"case_{number:05d}" for number in range(210)])


@pytest.mark.parametrize(
    ("fold", "first"),
    [
        (0, [14, 16, 17, 19, 20, 27]),
        (1, [2, 10, 24]),
        (2, [4, 8, 9]),
        (3, [0, 3, 5]),
        (4, [1, 7, 11]),
    ],
)
def test_folds_of_kits19_are_those_of_nnunet(fold: int, first: list[int]) -> None:
    test = split_cases(KITS19, fold).test
    assert len(test) == 42
    assert list(test[: len(first)]) == [f"case_{number:05d}" for number in first]


def test_ids_are_sorted_as_strings() -> None:
    """The rule written anew: volume-10 comes before volume-2."""
    ids = [f"volume-{number}" for number in range(131)]
    order = np.arange(131)
    np.random.RandomState(12345).shuffle(order)
    expected = sorted(sorted(ids)[position] for position in order[:27])  # 131 = 27 + 4 x 26
    assert list(split_cases(make_cases(ids), 0).test) == expected


def test_folds_cover_each_case_once_and_parts_are_disjoint() -> None:
    cases = make_cases([f"volume-{number}" for number in range(131)])
    tested: list[str] = []
    for fold in range(5):
        split = split_cases(cases, fold)
        parts = [*split.train, *split.val, *split.test]
        assert sorted(parts) == sorted(case.id for case in cases)
        assert len(split.val) == round(0.2 * (131 - len(split.test)))
        tested += split.test
    assert sorted(tested) == sorted(case.id for case in cases)


def test_order_of_the_cases_does_not_matter() -> None:
    assert split_cases(KITS19[::-1], 2) == split_cases(KITS19, 2)


def test_a_patient_stays_together() -> None:
    patients = [f"p{number // 3}" for number in range(60)]
    cases = make_cases([f"c{number}" for number in range(60)], patients)
    of = {case.id: case.patient for case in cases}
    for fold in range(5):
        split = split_cases(cases, fold)
        groups = [{of[id_] for id_ in part} for part in (split.train, split.val, split.test)]
        assert sum(len(group) for group in groups) == 20
        assert len(split.test) == 12


def test_hash_tells_splits_apart() -> None:
    assert split_cases(KITS19, 0).hash == split_cases(KITS19, 0).hash
    assert len({split_cases(KITS19, fold).hash for fold in range(5)}) == 5
    assert split_cases(KITS19, 0, seed=1).hash != split_cases(KITS19, 0).hash
    assert split_cases(KITS19, 0, val_frac=0.1).hash != split_cases(KITS19, 0).hash


def test_smallest_data_set_has_a_case_in_each_part() -> None:
    for fold in range(2):
        split = split_cases(KITS19[:4], fold, n_folds=2, val_frac=0.2)
        assert (len(split.train), len(split.val), len(split.test)) == (1, 1, 2)
    with pytest.raises(
        DataError, match="splits: fold 0 must leave 2 patients to train and to select on, got 1"
    ):
        split_cases(KITS19[:3], 0, n_folds=2)
    assert split_cases(KITS19, 0, val_frac=0).val == ()


def test_bad_requests_are_one_sentence() -> None:
    with pytest.raises(DataError, match="splits: 5 folds need at least 5 labelled patients, got 4"):
        split_cases(KITS19[:4], 0)
    with pytest.raises(ValueError, match=r"splits: fold must be in 0..4, got 5"):
        split_cases(KITS19, 5)
    with pytest.raises(ValueError, match="splits: n_folds must be >= 2, got 1"):
        split_cases(KITS19, 0, n_folds=1)
    with pytest.raises(ValueError, match=r"splits: val_frac must be in \[0, 1\), got 1.0"):
        split_cases(KITS19, 0, val_frac=1.0)


def test_a_file_that_holds_a_case_out_twice_is_refused(tmp_path: Path) -> None:
    folds = [{"train": ["c", "d"], "val": ["a", "b"]}, {"train": ["a", "d"], "val": ["c", "b"]}]
    (tmp_path / SPLITS_FILE).write_text(json.dumps(folds))
    with pytest.raises(
        DataError, match=r"must hold each case out in one fold, got b in folds 0 an"
    ):
        find_split_file(AUTO, tmp_path)
    folds[1]["val"].remove("b")
    (tmp_path / SPLITS_FILE).write_text(json.dumps(folds))
    assert find_split_file(AUTO, tmp_path) is not None
