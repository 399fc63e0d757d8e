"""How many multiply-accumulates an operation takes, from the shapes of its tensors.

Counted are matrix products, convolutions, attention and Fourier transforms. What is in `FREE`,
every pointwise operation and every view takes none by definition: norms, softmax, activations,
pooling, interpolation, copies. The counters name an operation that is neither counted nor free.

The rules are those of torch's own counter. Ours stand where torch has none, and where its rule
counts something else: the weight gradient of a convolution without its groups, and a product that
the gradient of fused attention computes a second time to save memory.
"""

from collections.abc import Callable, Sequence
from math import log2, prod
from typing import Any

import torch
from torch.utils.flop_counter import conv_flop_count, flop_registry

aten = torch.ops.aten

COMPLEX_FACTOR = 4  # real multiply-accumulates in a complex one
FFT_FACTOR = 2.5  # 5 N log2 N operations (FFTW's convention), two to a multiply-accumulate

# Base names: _backward and a trailing _ (in place) are stripped. Pointwise operations and views
# have torch's tags.
_FREE_NAMES = """
batch_norm cudnn_batch_norm miopen_batch_norm native_batch_norm _native_batch_norm_legit
_batch_norm_impl_index _batch_norm_with_update group_norm native_group_norm instance_norm layer_norm
native_layer_norm norm softmax _softmax _safe_softmax _log_softmax _softmax_backward_data
_log_softmax_backward_data logsumexp gelu glu dropout feature_dropout native_dropout bernoulli
normal uniform rand rand_like randn randn_like nll_loss nll_loss_forward nll_loss2d
nll_loss2d_forward rsub sum mean std std_mean var var_mean prod all any amax amin max min argmax
argmin topk item _local_scalar_dense avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d
adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d _adaptive_avg_pool2d
_adaptive_avg_pool3d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices
upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d
upsample_bicubic2d upsample_trilinear3d pixel_shuffle pixel_unshuffle pad constant_pad_nd
reflection_pad2d replication_pad2d alias as_strided broadcast_tensors cat clone col2im complex
concat contiguous copy detach embedding embedding_dense expand_as fill flatten flip gather im2col
index index_add index_copy index_fill index_put index_select lift_fresh masked_fill masked_select
meshgrid nonzero numpy_T one_hot repeat repeat_interleave resize roll scatter scatter_add select set
slice slice_scatter split_with_sizes stack to _to_copy unfold _unsafe_index _unsafe_view
value_selecting_reduction where arange empty empty_like empty_strided eye full full_like linspace
new_empty new_empty_strided new_full new_ones new_zeros ones ones_like scalar_tensor zero zeros
zeros_like promote_types sym_size _linalg_check_errors leaky_relu
"""
FREE = frozenset(_FREE_NAMES.split())


def is_free(name: str) -> bool:
    """Whether an operation such as ``aten::add_`` takes no multiply-accumulate by definition."""
    namespace, _, name = name.partition("::")
    if namespace in ("prim", "prims", "profiler"):
        return not name.startswith("PythonOp")  # a function in Python, which may compute anything
    if namespace != "aten":
        return False
    if name in FREE or name.removesuffix("_").removesuffix("_backward") in FREE:
        return True
    packet = getattr(aten, name, None)
    if packet is None:
        return False
    overload = getattr(packet, packet.overloads()[0])
    return torch.Tag.pointwise in overload.tags or overload.is_view


def count_macs(func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> float | None:
    """Return the count of an executed operation, an overload of torch's; None without a rule."""
    packet = func._overloadpacket
    if packet in OWN_RULES:
        return OWN_RULES[packet](args, out)
    if packet not in flop_registry:
        return None
    flops = flop_registry[packet](*args, **kwargs, out_val=out)
    is_complex = isinstance(out, torch.Tensor) and out.is_complex()
    return flops / 2 * (COMPLEX_FACTOR if is_complex else 1)


def count_product(a: Sequence[int], out: Sequence[int], *, is_complex: bool) -> float:
    """Return the count of a product of (batched) matrices or vectors, the first of shape ``a``."""
    return prod(out) * a[-1] * (COMPLEX_FACTOR if is_complex else 1)


def count_attention(query: Sequence[int], key: Sequence[int], value: Sequence[int]) -> float:
    """Return the count of softmax(Q K^T) V."""
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def count_fourier(signal: Sequence[int], dims: Sequence[int], *, is_real: bool) -> float:
    """Return the count of a fast Fourier transform over ``dims``; a real side halves it."""
    points = prod(signal[dim] for dim in dims)
    return FFT_FACTOR * prod(signal) * log2(max(points, 1)) * (0.5 if is_real else 1)


def _vector_rule(args: Sequence[Any], out: Any) -> float:
    a = args[-2]
    return count_product(a.shape, out.shape, is_complex=a.is_complex())


def _convolution_backward_rule(args: Sequence[Any], out: Any) -> float:
    """Each of the two gradients that is asked for takes what the convolution took."""
    grad_out, x, weight = args[:3]
    flops = conv_flop_count(x.shape, weight.shape, grad_out.shape, transposed=args[7])
    return sum(args[10][:2]) * flops / 2


def _attention_rule(args: Sequence[Any], out: Any) -> float:
    query, key, value = args[:3]
    return count_attention(query.shape, key.shape, value.shape)


def _attention_backward_rule(args: Sequence[Any], out: Any) -> float:
    """Four products for the two of the forward pass, so that all kernels agree."""
    return 2 * _attention_rule(args[1:], out)


def _fft_rule(args: Sequence[Any], out: Any) -> float:
    x = args[0]
    signal = out if x.is_complex() and not out.is_complex() else x  # a real side has full length
    return count_fourier(signal.shape, args[1], is_real=not signal.is_complex())


OWN_RULES: dict[Any, Callable[[Sequence[Any], Any], float]] = {  # (arguments, output) -> count
    **dict.fromkeys((aten.dot, aten.mv, aten.addmv), _vector_rule),
    aten.convolution_backward: _convolution_backward_rule,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention_rule,
    aten._scaled_dot_product_fused_attention_overrideable: _attention_rule,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_rule,
    aten._scaled_dot_product_fused_attention_overrideable_backward: _attention_backward_rule,
    aten._scaled_dot_product_flash_attention_backward: _attention_backward_rule,
    aten._scaled_dot_product_efficient_attention_backward: _attention_backward_rule,
    aten._scaled_dot_product_cudnn_attention_backward: _attention_backward_rule,
    **dict.fromkeys((aten._fft_c2c, aten._fft_r2c, aten._fft_c2r), _fft_rule),
}
