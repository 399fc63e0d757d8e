"""An ensemble is the mean of its runs' softmax; runs that do not fit together are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bench.cli.app import main
from bench.prediction import networks as subject
from bench.prediction.networks import Networks, Place, find_runs, load_networks, segment_case
from bench.specs.run import RunSpec
from datasets.base import DataError, Region
from datasets.brats import Brats
from reports.records.run import RunResult
from tests.bench.prediction.conftest import make_chosen

VALUES = np.array([0, 1, 2, 4])  # of BraTS 2020


def test_a_class_gets_the_mean_of_the_softmax(
    make_networks: Callable[..., Networks], tmp_path: Path
) -> None:
    one, other = make_networks("one", shift=0.4), make_networks("other", shift=-0.7)
    both = Networks((*one.runs, *other.runs), (*one.compute_logits, *other.compute_logits), 0)
    case = Brats(one.runs[0].header.spec.root).find_cases()[0]
    alone = []
    for number, networks in enumerate((one, other)):
        found = segment_case(networks, case, tmp_path / str(number), probabilities=True)
        assert found.probabilities is not None
        alone.append(found.probabilities)
    together = segment_case(both, case, tmp_path / "2", probabilities=True)
    assert together.probabilities is not None
    np.testing.assert_allclose(together.probabilities, np.mean(alone, axis=0), atol=1e-6)
    expected = together.frame.restore(np.mean(alone, axis=0).argmax(axis=0).astype(np.uint8))
    np.testing.assert_array_equal(together.classes, expected)
    counts = [np.count_nonzero(each.argmax(axis=0)) for each in alone]
    assert counts[0] != counts[1], "two networks that agree would show nothing"


@pytest.mark.slow
def test_three_folds_together(
    make_run: Callable[..., RunSpec], carry_out: Callable[..., RunResult], tmp_path: Path
) -> None:
    out = tmp_path / "results"
    specs = [make_run("linear", fold=fold) for fold in range(3)]
    for spec in specs:
        result = carry_out(spec, out / "runs" / spec.run_id)
        assert result.status == "done", result.reason
    case = Brats(specs[0].root).find_cases()[0]
    names = [spec.run_id for spec in specs]
    maps = []
    for number, name in enumerate(names):
        runs = find_runs([name], out)
        networks = load_networks(runs, Place("cpu"))
        found = segment_case(networks, case, tmp_path / str(number), probabilities=True)
        assert found.probabilities is not None
        maps.append(found.probabilities)
    assert np.abs(maps[0] - maps[1]).max() > 1e-3, "folds that agree would show nothing"
    mean = np.mean(maps, axis=0)
    arguments = ["--ensemble", ",".join(names), "--out", str(out), "--device", "cpu"]
    written = tmp_path / "seg.nii.gz"
    options = ["--input", case.id, "--output", str(written), "--probabilities"]
    assert main(["predict", *arguments, *options]) == 0
    label = np.asarray(nib.load(written).dataobj)
    geometry = found.frame.geometry
    classes = found.frame.restore(mean.argmax(axis=0).astype(np.uint8))
    np.testing.assert_array_equal(label, geometry.to_stored(VALUES[classes]))
    with np.load(tmp_path / "seg.npz") as arrays:
        stored = arrays["probabilities"].astype(np.float32)
    expected = found.frame.restore_probabilities(mean)
    for channel, wanted in zip(stored, expected, strict=True):
        wanted_stored = geometry.to_stored(wanted).transpose(2, 1, 0)
        np.testing.assert_allclose(channel, wanted_stored, atol=1e-3)
    check_a_folder(arguments, specs[0].root, tmp_path / "many")


def check_a_folder(arguments: list[str], root: Path, out: Path) -> None:
    """Segment a whole root twice: the second time nothing is left to do."""
    options = ["--input", str(root), "--output", str(out)]
    assert main(["predict", *arguments, *options]) == 0
    times = {file.name: file.stat().st_mtime_ns for file in out.glob("*.nii.gz")}
    assert len(times) == 5
    assert main(["predict", *arguments, *options]) == 0
    assert {file.name: file.stat().st_mtime_ns for file in out.glob("*.nii.gz")} == times
    (out / "BraTS20_Training_001.json").unlink()
    assert main(["predict", *arguments, *options]) == 1


def with_data(spec: RunSpec, **fields: object) -> RunSpec:
    return replace(
        spec, protocol=replace(spec.protocol, data=replace(spec.protocol.data, **fields))
    )


@pytest.mark.parametrize(
    ("fields", "info", "sentence"),
    [
        ({"spacing_mm": (1.0, 1.0, 1.0)}, {}, "data.spacing_mm, got None of one and (1.0, 1.0,"),
        ({"patch": (8, 32, 32)}, {}, "data.patch, got (4, 32, 32) of one and (8, 32, 32) of other"),
        ({"crop": False}, {}, "data.crop, got True of one and False of other"),
        ({}, {"name": "brats2021"}, "the data set, got brats2020 of one and brats2021 of other"),
        ({}, {"label_values": (0, 1, 2, 3)}, "the label values, got (0, 1, 2, 4) of one and"),
        ({}, {"classes": ("a", "b", "c", "d")}, "the classes, got background, necrosis,"),
        ({}, {"regions": (Region("WT", (1,)),)}, "the regions, got "),
        ({}, {"channels": ("t1",)}, "the channels, got flair, t1ce, t1, t2 of one and t1 of"),
    ],
)
def test_runs_that_do_not_fit_together_are_refused(
    fields: dict[str, object],
    info: dict[str, object],
    sentence: str,
    make_run: Callable[..., RunSpec],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = make_run()
    one, other = make_chosen(spec, "one"), make_chosen(with_data(spec, **fields), "other", **info)
    headers = {Path("one"): one.header, Path("other"): other.header}
    monkeypatch.setattr(subject, "find_run", lambda name, out: Path(name))
    monkeypatch.setattr(subject, "read_delta", lambda folder: (headers[folder], {}))
    with pytest.raises(DataError) as caught:
        find_runs(["one", "other"], Path("results"))
    assert str(caught.value).startswith(f"--ensemble: runs must share {sentence}")


def test_cutoffs_that_differ_need_a_word(make_run: Callable[..., RunSpec]) -> None:
    spec = make_run()
    runs = []
    for name, count in (("one", "10"), ("other", "50")):
        scoring = replace(spec.protocol.eval, et_min_vox=count)
        protocol = replace(spec.protocol, eval=scoring)
        runs.append(make_chosen(replace(spec, protocol=protocol), name))
    rule = "runs must share the cutoff of enhancing tumour, got 10 of one, 50 of other"
    with pytest.raises(DataError, match=rule):
        subject.choose_cutoff(runs, None)
    assert subject.choose_cutoff(runs, 20) == 20
    assert subject.choose_cutoff(runs[1:], None) == 50


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "predict: give --run or --ensemble, one of them"),
        (["--run", "a", "--ensemble", "a,b"], "predict: give --run or --ensemble, one of them"),
        (["--ensemble", "a,,b"], "--ensemble: must be a comma-separated list, got 'a,,b'"),
        (["--ensemble", "a,b"], "--run: no run 'a' with a trained network"),
    ],
)
def test_bad_words_are_one_sentence(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--input", "x", "--output", str(tmp_path / "o"), "--out", str(tmp_path)]
    assert main(["predict", *words, *options]) == 2
    printed = capsys.readouterr().err
    assert sentence in printed
    assert len(printed.splitlines()) == 1
