"""Which cases take part: all bad ones are named at once, or left out and recorded.

Folds come from nnU-Net's file, and a root is walked once.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import datasets
from bench.cli.app import main
from bench.grid.plan import Experiment, lay_out, prepare_data
from bench.grid.sources import check_exclude, inspect_source
from bench.run.cases import find_used, split_of
from bench.specs.protocol import DataSpec, Protocol, SpecError, override
from bench.specs.run import MethodSpec, RunSpec
from datasets.base import BadCasesError, Dataset
from datasets.layouts import discovery
from datasets.layouts.discovery import iter_files
from datasets.splits.rule import split_cases
from tests.datasets.roots.build import kidney
from tests.datasets.roots.unreadable import three_cases_each_with_its_fault

FAULTY = ["BraTS20_Training_002", "BraTS20_Training_003", "BraTS20_Training_004"]
AS_IT_IS = DataSpec()


def look(
    root: Path, cache: Path, *, skip: bool, name: str = "brats", data: DataSpec = AS_IT_IS
) -> RunSpec:
    source = inspect_source(name, root, cache, data, lambda done, total: None, skip=skip)
    protocol = replace(Protocol(), data=data)
    spec = RunSpec(MethodSpec("linear"), name, source.fingerprint, 0, 0, protocol, root)
    return replace(spec, left_out=source.left_out, splits_sha256=source.splits_sha256)


def write_kidneys(root: Path, count: int) -> Dataset:
    for number in range(count):
        kidney(root, f"case_{number:05d}")
    return datasets.build("kits", root)


def test_bad_cases_stop_a_run_all_at_once(tmp_path: Path) -> None:
    three_cases_each_with_its_fault(tmp_path / "root")
    with pytest.raises(BadCasesError) as caught:
        look(tmp_path / "root", tmp_path / "cache", skip=False)
    assert [problem.case for problem in caught.value.problems] == FAULTY
    lines = str(caught.value).splitlines()
    heading = (
        f"brats2020: {tmp_path / 'root'}: 3 cases cannot be used "
        "(--skip-bad-cases leaves them out):"
    )
    assert (lines[0], len(lines)) == (heading, 4)


def test_skipped_cases_are_recorded_with_the_reason_and_change_the_protocol(tmp_path: Path) -> None:
    three_cases_each_with_its_fault(tmp_path / "root")
    spec = look(tmp_path / "root", tmp_path / "cache", skip=True)
    assert [case for case, _ in spec.left_out] == FAULTY
    assert "is empty, 0 bytes" in dict(spec.left_out)[FAULTY[0]]
    assert spec.protocol_record()["dataset"]["left_out"] == FAULTY
    assert spec.protocol_id != replace(spec, left_out=()).protocol_id
    dataset = datasets.build("brats", tmp_path / "root")
    assert [case.id for case in find_used(dataset, spec)] == ["BraTS20_Training_001"]


def test_a_run_stops_before_training_with_all_bad_cases_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    three_cases_each_with_its_fault(tmp_path / "root")
    monkeypatch.chdir(tmp_path)
    assert (
        main(
            [
                "run",
                "--methods",
                "linear",
                "--preset",
                "demo",
                "--data-root",
                "root",
                "--device",
                "cpu",
            ]
        )
        == 2
    )
    printed = capsys.readouterr().err
    assert all(case in printed for case in FAULTY)
    assert not Path("results", "runs").exists()


def test_folds_of_a_file_are_taken_and_their_hash_recorded(tmp_path: Path) -> None:
    dataset = write_kidneys(tmp_path / "root", 6)
    ids = [f"case_{number:05d}" for number in range(6)]
    rule = look(tmp_path / "root", tmp_path / "cache", skip=False, name="kits")
    file = tmp_path / "root" / "splits_final.json"
    file.write_text(json.dumps([{"train": ids[:4], "val": ids[4:]}]))
    spec = look(tmp_path / "root", tmp_path / "cache", skip=False, name="kits")
    assert split_of(dataset, find_used(dataset, spec), spec).test == tuple(ids[4:])
    assert spec.protocol_record()["data"]["splits"] == f"sha256:{spec.splits_sha256}"
    assert spec.protocol_id != rule.protocol_id
    ruled = look(
        tmp_path / "root", tmp_path / "cache", skip=False, name="kits", data=DataSpec(splits="rule")
    )
    assert split_of(dataset, find_used(dataset, ruled), ruled) == split_cases(
        find_used(dataset, ruled), 0
    )


def test_folds_are_written_as_nnunet_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_kidneys(tmp_path / "root", 10)
    target = tmp_path / "splits_final.json"
    arguments = [
        "data",
        "splits",
        "--datasets",
        "kits",
        "--data-root",
        str(tmp_path / "root"),
        "--out",
        str(target),
    ]
    assert main(arguments) == 0
    assert f"wrote 5 folds of 10 cases to {target}" in capsys.readouterr().out
    folds = json.loads(target.read_text())
    cases = dataset.find_labelled()
    for number, fold in enumerate(folds):
        split = split_cases(cases, number)
        assert fold == {"train": sorted(split.train + split.val), "val": list(split.test)}
    spec = look(
        tmp_path / "root",
        tmp_path / "c",
        skip=False,
        name="kits",
        data=DataSpec(splits=str(target)),
    )
    for number in range(5):
        numbered = replace(spec, fold=number)
        assert split_of(dataset, cases, numbered) == split_cases(cases, number)
    assert main(arguments) == 2
    assert (
        capsys.readouterr().err
        == f"error: splits: {target} is there already (give another --out)\n"
    )


def test_presets_of_cases_to_leave_out(tmp_path: Path) -> None:
    write_kidneys(tmp_path / "root", 16)
    spec = look(
        tmp_path / "root",
        tmp_path / "c",
        skip=False,
        name="kits",
        data=DataSpec(exclude="nnunet2019"),
    )
    used = [case.id for case in find_used(datasets.build("kits", tmp_path / "root"), spec)]
    assert used == [f"case_{number:05d}" for number in range(15)]  # 15 is one of Isensee's six
    dataset = datasets.build("kits", tmp_path / "root")
    check_exclude("nnunet2019", [dataset])
    with pytest.raises(SpecError) as caught:
        check_exclude("nnunet2020", [dataset])
    assert (
        str(caught.value)
        == "data.exclude: must be a preset of the data, got 'nnunet2020' (KiTS19: nnunet2019)"
    )


def write_listed_cases(root: Path, count: int) -> None:
    """Write files that are listed by their names; nothing that plans reads what is in them."""
    for number in range(1, count + 1):
        name = f"BraTS20_Training_{number:03d}"
        (root / name).mkdir(parents=True)
        for role in ("t1", "t1ce", "t2", "flair", "seg"):
            (root / name / f"{name}_{role}.nii").write_bytes(b"x")


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the folders whose tree was walked, one entry a walk."""
    walked: list[Path] = []

    def walk(root: Path) -> Iterator[Path]:
        walked.append(root)
        return iter_files(root)

    monkeypatch.setattr(discovery, "iter_files", walk)
    return walked


def test_planning_walks_a_root_once(
    tmp_path: Path, walks: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    write_listed_cases(root, 48)
    arguments = (
        f"--preset demo --methods linear,lora --folds all --data-root {root} --out {tmp_path}"
    )
    assert main(["plan", *arguments.split()]) == 0
    assert "6 runs in" in capsys.readouterr().out
    assert walks == [root]


def test_a_root_that_was_planned_with_is_not_walked_again_to_prepare_it(
    tmp_path: Path, walks: list[Path]
) -> None:
    root = tmp_path / "root"
    write_kidneys(root, 3)
    walks.clear()
    protocol = override(Protocol(), "data.n_folds=3")
    experiment = Experiment(
        (MethodSpec("linear"),), {"kits": root}, (0,), (0,), protocol, None, tmp_path / "out"
    )
    plan = lay_out(experiment, lambda *_: None)
    prepare_data(plan.runs, plan.sources, experiment.out, lambda *_: None)
    assert len(list((tmp_path / "out" / "cache" / "kits19").glob("case_*"))) == 3
    assert walks == [root]


def test_a_run_stays_small_whatever_its_data_are(tmp_path: Path) -> None:
    write_listed_cases(tmp_path / "root", 48)
    spec = look(tmp_path / "root", tmp_path / "cache", skip=False)
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert len(pickle.dumps(spec)) < 4000
