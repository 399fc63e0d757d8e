"""What children of the tests do in the place of a run."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec, Place, RunSpec
from reports.records.run import RunResult, Status


def make_spec(name: str) -> RunSpec:
    return RunSpec(MethodSpec(name), "brats", "abc", 0, 0, Protocol(), Path("/data"))


def make_result(spec: RunSpec, status: Status, reason: str = "") -> RunResult:
    return RunResult(
        run_id=spec.run_id, status=status, reason=reason, method=spec.method.name, settings={},
        label=spec.method.name, dataset="brats", backbone="tiny_vit", weights="none", fold=0,
        seed=0, protocol_id=spec.protocol_id, protocol=spec.protocol_record(), synthetic=True,
    )  # fmt: skip


def end_well(spec: RunSpec, place: Place, on_progress: Callable[..., None]) -> None:
    make_result(spec, Status.DONE).write(place.folder)


def never_end_adaptformer(spec: RunSpec, place: Place, on_progress: Callable[..., None]) -> None:
    """Write no result, and ignore SIGTERM, where the method is AdaptFormer."""
    if spec.method.name == "adaptformer":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    end_well(spec, place, on_progress)


def fail_beside_another(spec: RunSpec, place: Place, on_progress: Callable[..., None]) -> None:
    """Fail, while a command that sees no locks does the same run."""
    make_result(spec, Status.DONE, "of the other command").write(place.folder.parent)
    make_result(spec, Status.FAILED).write(place.folder)
