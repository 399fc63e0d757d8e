from pathlib import Path

import pytest
import torch

from bench.grid import slots
from bench.grid.runner import split_finished
from bench.grid.slots import choose_slots
from bench.specs.protocol import Protocol, SpecError
from bench.specs.run import Means, MethodSpec, RunSpec, list_devices, run_folder
from reports.records.run import RunResult, Status


def make_spec(name: str) -> RunSpec:
    return RunSpec(MethodSpec(name), "brats", "abc", 0, 0, Protocol(), Path("/data"))


def write_result(out: Path, spec: RunSpec, status: Status) -> None:
    result = RunResult(
        run_id=spec.run_id, status=status, reason="", method=spec.method.name, settings={},
        label=spec.method.name, dataset="brats", backbone="tiny_vit", weights="none", fold=0,
        seed=0, protocol_id=spec.protocol_id, protocol=spec.protocol_record(), synthetic=True,
    )  # fmt: skip
    result.write(run_folder(out, spec))


def test_only_failed_and_missing_runs_are_to_do(tmp_path):
    statuses = {
        "full": Status.DONE,
        "linear": Status.FAILED,
        "lora": Status.DIVERGED,
        "vpt_deep": Status.SKIPPED,
        "adaptformer": None,
    }
    specs = {name: make_spec(name) for name in statuses}
    for name, status in statuses.items():
        if status is not None:
            write_result(tmp_path, specs[name], status)
    finished, to_do = split_finished(list(specs.values()), tmp_path)
    assert [spec.method.name for spec, _ in finished] == ["full", "lora", "vpt_deep"]
    assert [spec.method.name for spec in to_do] == ["linear", "adaptformer"]


def test_a_half_written_result_is_no_result(tmp_path):
    spec = make_spec("full")
    folder = run_folder(tmp_path, spec)
    folder.mkdir(parents=True)
    (folder / "result.partial").write_text('{"run_id": ')
    assert split_finished([spec], tmp_path) == ([], [spec])


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cpu:1", ""])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(SpecError, match=f"--device: '{device}' is not on this machine"):
        choose_slots(device)


def test_slots_share_the_cores():
    assert choose_slots("cpu", 3).devices == ("cpu",) * 3
    assert choose_slots("cpu", threads=10_000).devices == ("cpu",)


def test_gpus_are_dealt_out_in_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_slots("auto").devices == ("cuda:0", "cuda:1")
    assert choose_slots("cuda", 3).devices == ("cuda:0", "cuda:1", "cuda:0")
    assert choose_slots("cuda:1").devices == ("cuda:1",)
    assert choose_slots("cpu", 1).devices == ("cpu",)


@pytest.mark.parametrize(
    ("n_cores", "n_gpus", "n_devices", "n_workers"),
    [(2, 1, 1, 1), (8, 2, 1, 3), (8, 2, 2, 3), (64, 2, 1, 8), (1, 4, 1, 1)],
)
def test_gpus_get_the_cores_to_spare_for_their_patches(
    monkeypatch, n_cores, n_gpus, n_devices, n_workers
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    monkeypatch.setattr(slots, "count_cores", lambda: n_cores)
    found = choose_slots("cuda", means=Means(n_devices=n_devices))
    assert found.means_on("cuda:0").data_workers == n_workers


def test_a_cpu_keeps_its_cores_for_the_training_unless_told_otherwise():
    assert choose_slots("cpu").means_on("cpu").data_workers == 0
    assert choose_slots("cpu", means=Means(data_workers=3)).means_on("cpu").data_workers == 3


def test_a_run_may_have_several_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 5)
    assert choose_slots("auto", means=Means(n_devices=2)).devices == ("cuda:0", "cuda:2")
    assert choose_slots("cuda", 3, Means(n_devices=4)).devices == ("cuda:0",) * 3
    assert choose_slots("cpu", 1, Means(n_devices=4)).devices == ("cpu",)
    assert list_devices("cuda:2", 2) == ["cuda:2", "cuda:3"]
    assert list_devices("cpu", 2) == ["cpu", "cpu"]


@pytest.mark.parametrize(("device", "n_gpus"), [("cuda", 8), ("cuda:1", 2)])
def test_more_devices_than_there_are_is_a_sentence(monkeypatch, device, n_gpus):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 5)
    n_here = 5 if device == "cuda" else 1
    with pytest.raises(SpecError, match=f"--devices: must be at most {n_here}, .*got {n_gpus}"):
        choose_slots(device, means=Means(n_devices=n_gpus))
