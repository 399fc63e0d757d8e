"""Whether what was asked for can be compiled; checked before anything is computed."""

from collections.abc import Sequence

from bench.cli.jobs.executor import LOCAL
from bench.cli.options import ComputeRequest
from bench.grid.answers import ask
from bench.grid.slots import choose_devices
from bench.specs.protocol import SpecError
from bench.specs.run import MethodSpec

CHECK_COMPILER = "bench.models.compiled:check_compiler"


def check_compile(compute: ComputeRequest, methods: Sequence[MethodSpec], executor: str) -> None:
    """Raise ValueError if ``--compile`` does not fit a method, the devices or this machine.

    Jobs of Slurm are on other machines: each of them checks its own.
    """
    if not compute.compile:
        return
    if compute.devices > 1:
        rule = f"a run that is compiled has one device, got --devices {compute.devices}"
        raise SpecError(f"--compile: {rule}")
    for method in methods:
        note = method.build().info.compile_note
        if note:
            hint = "leave out the method or --compile"
            raise SpecError(f"--compile: {method.name} cannot be compiled, {note} ({hint})")
    if executor == LOCAL:
        ask(CHECK_COMPILER, choose_devices(compute.device)[0].partition(":")[0])
