"""Multiply-accumulates of an inference, by fvcore from the graph of a traced forward pass.

fvcore gets handles for what it does not know (attention, Fourier transforms) and for a product with
a broadcast batch, of which it counts one. Its estimates for norms and interpolation are left out:
they are no multiply-accumulates.
"""

from __future__ import annotations

import warnings
from collections import Counter
from math import prod
from typing import Any

import torch
from torch import nn

from bench.cost import mac_rules

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # fvcore scripts its losses when it is imported
    from fvcore.nn import FlopCountAnalysis
    from fvcore.nn.jit_handles import (
        addmm_flop_jit,
        conv_flop_jit,
        einsum_flop_jit,
        get_shape,
        linear_flop_jit,
    )


@torch.no_grad()
def count_forward(model: nn.Module, volume: torch.Tensor) -> tuple[float, Counter[str]]:
    """Return the GMAC of an inference, and the operations without a rule."""
    training = model.training
    analysis = FlopCountAnalysis(model.eval(), volume)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings(
        "none"
    )
    analysis.clear_op_handles().set_op_handle(
        **{f"aten::{name}": handle for name, handle in HANDLES.items()}
    )
    total = analysis.total()
    model.train(training)
    unknown = {
        name: calls
        for name, calls in analysis.unsupported_ops().items()
        if not _is_bookkeeping(name) and not mac_rules.is_free(name.removeprefix("aten::"))
    }
    return total / 1e9, Counter(unknown)


def _is_bookkeeping(name: str) -> bool:
    """Whether a node of the graph computes nothing; a function written in Python may compute anything."""
    return name.startswith(("prim::", "profiler::")) and not name.startswith("prim::PythonOp")


def _matmul_handle(inputs: list[Any], outputs: list[Any]) -> float:
    factor = mac_rules.COMPLEX_FACTOR if _is_complex(inputs[0]) else 1
    return factor * mac_rules.matmul(get_shape(inputs[0]), get_shape(outputs[0]))


def _attention_handle(inputs: list[Any], outputs: list[Any]) -> float:
    return mac_rules.attention(*(get_shape(value) for value in inputs[:3]))


def _fft_handle(inputs: list[Any], outputs: list[Any]) -> float:
    x, dims = inputs[0], _read_sizes(inputs[2])
    signal = get_shape(outputs[0] if _is_complex(x) and not _is_complex(outputs[0]) else x)
    is_real = not (_is_complex(x) and _is_complex(outputs[0]))
    return mac_rules.fourier(signal, range(len(signal)) if dims is None else dims, is_real=is_real)


def _einsum_handle(inputs: list[Any], outputs: list[Any]) -> float:
    """Count a product of two tensors: every combination of the letters is one multiply-accumulate.

    Others are left to fvcore, which reads four digits of numpy's report on the best order of
    contraction.
    """
    equation = inputs[0].toIValue().replace(" ", "")
    operands = list(inputs[1].node().inputs())
    terms = equation.partition("->")[0].split(",")
    if len(terms) != 2 or "." in equation:
        return float(einsum_flop_jit(inputs, outputs))
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        sizes |= dict(zip(term, get_shape(operand), strict=True))
    return (mac_rules.COMPLEX_FACTOR if _is_complex(operands[0]) else 1) * prod(sizes.values())


def _read_sizes(value: Any) -> list[int] | None:
    """Return a constant of the graph that is one integer, several, or None."""
    node = value.node()
    if node.kind() == "prim::ListConstruct":
        return [each.toIValue() for each in node.inputs()]
    constant = value.toIValue()
    return constant if constant is None or isinstance(constant, list) else [constant]


def _is_complex(value: Any) -> bool:
    return "Complex" in str(value.type().scalarType())


FFTS = [
    f"fft_{inverse}{kind}"
    for inverse in ("", "i")
    for kind in ("fft", "fft2", "fftn", "rfft", "rfft2", "rfftn")
]
HANDLES: dict[str, Any] = {
    "linear": linear_flop_jit,
    "addmm": addmm_flop_jit,
    "_convolution": conv_flop_jit,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot"), _matmul_handle),
    "baddbmm": lambda inputs, outputs: _matmul_handle(inputs[1:], outputs),
    **dict.fromkeys(FFTS, _fft_handle),
    "scaled_dot_product_attention": _attention_handle,
    "einsum": _einsum_handle,
}
