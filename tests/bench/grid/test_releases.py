"""From ``--datasets`` and ``--data-root`` to runs: the release found is part of the identity."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.options import Request
from bench.cli.request import read_request
from bench.grid.plan import lay_out
from bench.specs.protocol import SpecError
from datasets.base import DataError
from datasets.phantoms.write import write_phantoms

SHAPE = (16, 32, 32)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("roots")
    for name in ("brats2019", "brats2020"):
        write_phantoms(name, folder / name, 3, shape=SHAPE)
    return {name: folder / name for name in ("brats2019", "brats2020")}


def ask(names: str, out: Path, *entries: str) -> Request:
    data_root = list(entries) or None
    small = ["data.patch=16,32,32"]
    request = Request("linear", datasets=names, preset="demo", set=small, out=out)
    return replace(request, data_root=data_root)


def test_two_releases_of_a_data_set_in_one_request(roots: dict[str, Path], tmp_path: Path) -> None:
    entries = [f"{name}={root}" for name, root in roots.items()]
    experiment = read_request(ask("brats2019,brats2020", tmp_path, *entries))
    assert experiment.roots == roots
    first, second = lay_out(experiment, lambda *_: None).runs
    assert (first.dataset, second.dataset) == ("brats2019", "brats2020")
    assert first.run_id.startswith("brats2019-linear-")
    assert first.protocol_record()["dataset"]["name"] == "brats2019"
    assert first.cell.dataset == "brats2019"
    assert first.seeds == second.seeds, "releases of a data set draw alike"


def test_a_folder_with_a_folder_for_each_release(roots: dict[str, Path], tmp_path: Path) -> None:
    parent = str(roots["brats2019"].parent)
    assert read_request(ask("brats2019,brats2020", tmp_path, parent)).roots == roots


def test_a_name_without_number_is_recorded_as_the_release_found(
    roots: dict[str, Path], tmp_path: Path
) -> None:
    experiment = read_request(ask("brats", tmp_path, str(roots["brats2019"])))
    (run,) = lay_out(experiment, lambda *_: None).runs
    assert run.dataset == "brats2019"


def test_another_release_than_is_named_is_refused(roots: dict[str, Path], tmp_path: Path) -> None:
    root = roots["brats2019"]
    experiment = read_request(ask("brats2020", tmp_path, str(root)))
    sentence = f"brats2020: {root} must hold BraTS 2020, got BraTS 2019 (--datasets brats2019"
    with pytest.raises(DataError, match=re.escape(sentence)):
        lay_out(experiment, lambda *_: None)


def test_folds_that_cannot_be_made_are_refused_before_a_run(
    roots: dict[str, Path], tmp_path: Path
) -> None:
    request = ask("brats2019", tmp_path, str(roots["brats2019"]))
    for changed, sentence in (
        (replace(request, shots="1,2"), "data.shots must be at most the 1 training cases of fold"),
        (replace(request, set=["data.n_folds=4", *request.set]), "at least 4 labelled patients"),
    ):
        with pytest.raises(DataError, match=f"^splits: .*{sentence}"):
            lay_out(read_request(changed), lambda *_: None)
    folds = [{"train": ["a"], "val": ["b"]}]
    file = tmp_path / "folds.json"
    file.write_text(json.dumps(folds))
    both = replace(request, set=[f"data.splits={file}", *request.set])
    with pytest.raises(DataError, match="names 2 cases that are not below the root, such as a"):
        lay_out(read_request(both), lambda *_: None)


def test_one_release_in_two_roots_is_refused(roots: dict[str, Path], tmp_path: Path) -> None:
    root = roots["brats2019"]
    entries = [f"brats={root}", f"brats2019={root}"]
    experiment = read_request(ask("brats,brats2019", tmp_path, *entries))
    with pytest.raises(DataError, match=r"each release must have one root, got .* BraTS 2019 in"):
        lay_out(experiment, lambda *_: None)


def test_a_root_of_a_name_that_is_not_asked_for_is_refused(tmp_path: Path) -> None:
    request = ask("brats2019", tmp_path, "brats2019=/data/a", "brats2020=/data/b")
    sentence = "must name one of --datasets brats2019, got 'brats2020=/data/b'"
    with pytest.raises(SpecError, match=sentence):
        read_request(request)


def test_the_path_of_a_root_may_have_an_equals_sign(
    roots: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "size=small"
    root.symlink_to(roots["brats2019"])
    monkeypatch.chdir(tmp_path)
    for text in (str(root), "size=small", f"brats2019={root}"):
        experiment = read_request(ask("brats2019", tmp_path, text))
        assert experiment.roots["brats2019"].resolve() == roots["brats2019"]


@pytest.mark.parametrize(
    ("names", "entries", "lost"),
    [
        ("brats2019", ("/data/a", "/data/b"), "/data/b"),
        ("brats2019", ("brats2019=/data/a", "brats2019=/data/b"), "brats2019=/data/b"),
        ("brats2019", ("brats2019=/data/a", "brats=/data/b"), "brats=/data/b"),
        ("brats2019", ("brats=/data/b", "brats2019=/data/a"), "brats=/data/b"),
    ],
)
def test_a_root_that_would_not_be_read_is_refused(
    names: str, entries: tuple[str, ...], lost: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=f"the folder of one of .*{names}, got '{lost}'"):
        read_request(ask(names, tmp_path, *entries))


def test_a_root_without_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--data-root: brats2019 must have a folder"):
        read_request(ask("brats2019", tmp_path, "brats2019="))


def test_datalists_of_one_name_are_refused(tmp_path: Path) -> None:
    content = {"name": "same", "modality": "CT", "labels": {"background": 0, "a": 1}}
    content["training"] = [{"image": "i.nii", "label": "l.nii"}]
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        file.write_text(json.dumps(content))
    sentence = f"--datasets: {files[0]} and {files[1]} have one name, same"
    with pytest.raises(SpecError, match=re.escape(sentence)):
        read_request(ask(",".join(map(str, files)), tmp_path))


@pytest.mark.parametrize(
    ("names", "releases"),
    [
        ("brats", ["brats2020"]),
        ("brats,brats2020", ["brats2020"]),
        ("brats2019,kits21,msd03", ["brats2019", "kits21", "msd03"]),
        ("all", ["brats2020", "kits19", "lits17"]),
    ],
)
def test_without_a_root_phantoms_are_of_the_release(
    names: str, releases: list[str], tmp_path: Path
) -> None:
    experiment = read_request(ask(names, tmp_path))
    assert experiment.roots == {name: tmp_path / "phantoms" / name for name in releases}
