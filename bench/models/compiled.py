"""torch.compile of a network: its forward pass is replaced as a whole, and nothing else.

So hooks on the network, the names of its tensors, its files and what wraps it are as without. There
is a version for each size of the input, for training and for evaluation; a part that cannot be
compiled is an error, and so are too many versions: torch would compute them without the compiler.
"""

import platform
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

BACKEND = "inductor"
OPTIONS = {"fallback_random": True}  # random numbers are those that are drawn without it
MOST_VERSIONS = 64
COMPLEX = "Torchinductor does not support code generation for complex"  # they are torch's own
KINDS = ("cpu", "cuda")  # of devices
HINT = "without --compile it computes as well"


class CompileError(ValueError):
    """A network cannot be compiled."""


def compile_network(model: nn.Module) -> None:
    """Let a network compile itself at its first pass with each size of input."""
    warnings.filterwarnings("ignore", message=COMPLEX)
    build: Any = torch.compile  # whose types lack the last two arguments
    model.forward = build(
        model.forward,
        backend=BACKEND,
        options=OPTIONS,
        dynamic=False,
        fullgraph=True,
        recompile_limit=MOST_VERSIONS,
        isolate_recompiles=True,
    )


def is_compiled(model: nn.Module) -> bool:
    """Return whether a network is one that compiles itself."""
    return "forward" in vars(model)


@contextmanager
def uncompiled(model: nn.Module) -> Iterator[None]:
    """Let a network compute without the compiler within a block, such as to be traced."""
    compiled = vars(model).pop("forward", None)
    try:
        yield
    finally:
        if compiled is not None:
            model.forward = compiled


def check_compiler(kind: str) -> None:
    """Raise CompileError if torch cannot compile for a kind of device on this machine."""
    obstacle = _find_obstacle(kind)
    if obstacle:
        raise CompileError(f"--compile: {obstacle} ({HINT})")


def _find_obstacle(kind: str) -> str:
    if kind not in KINDS:
        return f"the device must be a CPU or an NVIDIA GPU, got {kind}"
    from torch._dynamo.eval_frame import is_dynamo_supported

    if not is_dynamo_supported():
        return f"torch.compile does not support Python {platform.python_version()}"
    if kind == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            return "an NVIDIA GPU must have compute capability >= 7.0 and the package triton"
    if not _has_compiler():
        return "torch.compile needs a C++ compiler such as g++, and none was found"
    if sys.platform != "win32" and not _find_header().is_file():
        return f"torch.compile needs {_find_header()} (the headers of Python, python3-dev)"
    return ""


def _has_compiler() -> bool:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError):  # the latter on Windows
        return False
    return True


def _find_header() -> Path:
    return Path(sysconfig.get_path("include")) / "Python.h"


def describe_compile_error(error: BaseException) -> str | None:
    """Return a sentence on an error of torch's compiler; None for another error."""
    if "torch._dynamo" not in sys.modules:
        return None
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    if isinstance(error, FailOnRecompileLimitHit):
        rule = f"batches must have at most {MOST_VERSIONS} sizes, got more"
        return f"--compile: {rule} ({HINT})"
    if isinstance(error, TorchDynamoException | GuardOnDataDependentSymNode):
        cause = " ".join(str(error).partition("\n\n")[0].split())[:300]
        return f"--compile: torch cannot compile the network: {cause} ({HINT})"
    return None
