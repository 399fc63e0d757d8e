"""How many multiply-accumulates an operation takes, from the shapes of its tensors.

Counted are matrix products, convolutions, attention and Fourier transforms. What is in `FREE`,
every pointwise operation and every view takes none by definition: norms, softmax, activations,
pooling, interpolation, copies. An operation that is neither counted nor free is named by the
counters of `bench.cost.flops`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2, prod
from typing import Any

import torch

Shape = Sequence[int]

COMPLEX_FACTOR = 4  # real multiply-accumulates in a complex one
FFT_FACTOR = 2.5  # 5 N log2 N operations of a complex transform (FFTW's convention), two to a multiply-accumulate

# Base names: _backward and a trailing _ (in place) are stripped. Pointwise operations and views
# have torch's tags.
_FREE_NAMES = """
batch_norm cudnn_batch_norm miopen_batch_norm native_batch_norm _native_batch_norm_legit _batch_norm_impl_index
_batch_norm_with_update group_norm native_group_norm instance_norm layer_norm native_layer_norm norm
softmax _softmax _safe_softmax _log_softmax _softmax_backward_data _log_softmax_backward_data logsumexp gelu glu
dropout feature_dropout native_dropout bernoulli normal uniform rand rand_like randn randn_like
nll_loss nll_loss_forward nll_loss2d nll_loss2d_forward rsub
sum mean std std_mean var var_mean prod all any amax amin max min argmax argmin topk item _local_scalar_dense
avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d
_adaptive_avg_pool2d _adaptive_avg_pool3d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices
upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d
upsample_trilinear3d pixel_shuffle pixel_unshuffle pad constant_pad_nd reflection_pad2d replication_pad2d
alias as_strided broadcast_tensors cat clone col2im complex concat contiguous copy detach embedding embedding_dense
expand_as fill flatten flip gather im2col index index_add index_put index_select lift_fresh masked_fill masked_select
meshgrid numpy_T
one_hot repeat repeat_interleave resize roll scatter scatter_add select set slice slice_scatter split_with_sizes stack
to _to_copy unfold _unsafe_index _unsafe_view value_selecting_reduction where
arange empty empty_like empty_strided eye full full_like linspace new_empty new_empty_strided new_full new_ones
new_zeros ones ones_like scalar_tensor zero zeros zeros_like promote_types sym_size _linalg_check_errors
"""
FREE = frozenset(_FREE_NAMES.split())


def is_free(name: str) -> bool:
    """Whether aten's operation of that name takes no multiply-accumulate by definition."""
    if name in FREE or name.removesuffix("_").removesuffix("_backward") in FREE:
        return True
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        return False
    overload = getattr(packet, packet.overloads()[0])
    return bool(torch.Tag.pointwise in overload.tags or overload.is_view)


def matmul(a: Shape, out: Shape) -> float:
    """Return the count of a product of (batched) matrices or vectors, the first of shape ``a``."""
    return prod(out) * a[-1]


def convolution(x: Shape, weight: Shape, out: Shape, *, transposed: bool) -> float:
    """Return the count of a convolution with weights (outputs, inputs / groups, *kernel).

    A transposed one has weights (inputs, outputs / groups, *kernel). Border zeros count as any
    other value.
    """
    return prod(x if transposed else out) * prod(weight[1:])


def attention(query: Shape, key: Shape, value: Shape) -> float:
    """Return the count of softmax(Q K^T) V; its gradient has four such products for these two."""
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def fourier(signal: Shape, dims: Sequence[int], *, is_real: bool) -> float:
    """Return the count of a fast Fourier transform over ``dims``; one with a real side takes half."""
    points = prod(signal[dim] for dim in dims)
    return FFT_FACTOR * prod(signal) * log2(max(points, 1)) * (0.5 if is_real else 1)


def _count_product(args: Sequence[Any], out: Any) -> float:
    a = args[-2]
    factor: int = COMPLEX_FACTOR if a.is_complex() else 1
    return factor * matmul(a.shape, out.shape)


def _count_convolution(args: Sequence[Any], out: Any) -> float:
    return convolution(args[0].shape, args[1].shape, out.shape, transposed=args[6])


def _count_convolution_backward(args: Sequence[Any], out: Any) -> float:
    """Each of the two gradients that is asked for takes what the convolution took."""
    grad_out, x, weight = (tensor.shape for tensor in args[:3])
    n_gradients: int = sum(args[10][:2])
    return n_gradients * convolution(x, weight, grad_out, transposed=args[7])


def _count_attention(args: Sequence[Any], out: Any) -> float:
    return attention(*(tensor.shape for tensor in args[:3]))


def _count_attention_backward(args: Sequence[Any], out: Any) -> float:
    """What a fused kernel computes a second time to save memory is not counted, so that all kernels agree."""
    return 2 * attention(*(tensor.shape for tensor in args[1:4]))


def _count_fft(args: Sequence[Any], out: Any) -> float:
    x = args[0]
    signal = (
        out if x.is_complex() and not out.is_complex() else x
    )  # the real side, if there is one, has full length
    return fourier(signal.shape, args[1], is_real=not signal.is_complex())


Rule = Callable[[Sequence[Any], Any], float]
FUSED = [
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
]
RULES: dict[str, Rule] = {  # by aten's name, positional arguments and output -> count
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm", "dot", "mv", "addmv"), _count_product),
    "convolution": _count_convolution,
    "convolution_backward": _count_convolution_backward,
    **dict.fromkeys(FUSED, _count_attention),
    **dict.fromkeys((f"{name}_backward" for name in FUSED), _count_attention_backward),
    **dict.fromkeys(("_fft_c2c", "_fft_r2c", "_fft_c2r"), _count_fft),
}
