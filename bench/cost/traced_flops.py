"""Multiply-accumulates of an inference, by fvcore from the graph of a traced forward pass.

fvcore gets handles for what it does not know (attention, Fourier transforms) and for a product with
a broadcast batch, of which it counts one. Its estimates for norms and interpolation are left out:
they are no multiply-accumulates.
"""

import warnings
from collections import Counter
from math import prod
from typing import Any

import torch
from torch import nn

from bench.cost import mac_rules

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # fvcore scripts its losses when it is imported
    from fvcore.nn import FlopCountAnalysis, jit_handles
    from fvcore.nn.jit_handles import get_shape


@torch.no_grad()
def count_forward(model: nn.Module, volume: torch.Tensor) -> tuple[float, Counter[str]]:
    """Return the GMAC of an inference, and the operations without a rule."""
    training = model.training
    analysis = FlopCountAnalysis(model.eval(), volume)
    analysis.unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False)
    analysis.tracer_warnings("none")
    analysis.clear_op_handles()
    analysis.set_op_handle(**{f"aten::{name}": handle for name, handle in HANDLES.items()})
    total = analysis.total()
    model.train(training)
    unsupported = analysis.unsupported_ops().items()
    unknown = {name: calls for name, calls in unsupported if not mac_rules.is_free(name)}
    return total / 1e9, Counter(unknown)


def _count_product(inputs: list[Any], outputs: list[Any]) -> float:
    a, out = inputs[0], outputs[0]
    return mac_rules.count_product(get_shape(a), get_shape(out), is_complex=_is_complex(a))


def _count_added_product(inputs: list[Any], outputs: list[Any]) -> float:
    return _count_product(inputs[1:], outputs)


def _count_attention(inputs: list[Any], outputs: list[Any]) -> float:
    query, key, value = inputs[:3]
    return mac_rules.count_attention(get_shape(query), get_shape(key), get_shape(value))


def _count_fourier(inputs: list[Any], outputs: list[Any]) -> float:
    x, y = inputs[0], outputs[0]
    is_real = not (_is_complex(x) and _is_complex(y))
    signal = get_shape(y if _is_complex(x) and is_real else x)  # a real side has full length
    dims = _read_sizes(inputs[2])
    if dims is None:
        dims = list(range(len(signal)))
    return mac_rules.count_fourier(signal, dims, is_real=is_real)


def _count_einsum(inputs: list[Any], outputs: list[Any]) -> float:
    """Count a product of two: every combination of the letters is one multiply-accumulate."""
    equation = inputs[0].toIValue().replace(" ", "")
    operands = list(inputs[1].node().inputs())
    terms = equation.partition("->")[0].split(",")
    if len(terms) != 2 or "." in equation:  # left to fvcore, which keeps four digits
        return float(jit_handles.einsum_flop_jit(inputs, outputs))
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        sizes |= zip(term, get_shape(operand), strict=True)
    factor = mac_rules.COMPLEX_FACTOR if _is_complex(operands[0]) else 1
    return factor * prod(sizes.values())


def _read_sizes(value: Any) -> list[int] | None:
    """Return a constant of the graph that is one integer, several, or None."""
    node = value.node()
    if node.kind() == "prim::ListConstruct":
        return [each.toIValue() for each in node.inputs()]
    constant = value.toIValue()
    return [constant] if isinstance(constant, int) else constant


def _is_complex(value: Any) -> bool:
    return "Complex" in str(value.type().scalarType())


TRANSFORMS = ("fft", "ifft", "rfft", "irfft")
HANDLES: dict[str, Any] = {
    "linear": jit_handles.linear_flop_jit,
    "addmm": jit_handles.addmm_flop_jit,
    "_convolution": jit_handles.conv_flop_jit,
    "baddbmm": _count_added_product,
    "scaled_dot_product_attention": _count_attention,
    "einsum": _count_einsum,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot"), _count_product),
    **dict.fromkeys((f"fft_{name}" for name in TRANSFORMS), _count_fourier),
    **dict.fromkeys((f"fft_{name}2" for name in TRANSFORMS), _count_fourier),
    **dict.fromkeys((f"fft_{name}n" for name in TRANSFORMS), _count_fourier),
}
