"""Updates of a layer by rotations, and by few numbers of its transform."""

from methods.base import Family
from methods.bridge.types import (
    LARGE,
    ROUNDING,
    Settings,
    Tuner,
    count_each,
    number,
    rank,
    scale,
    seed,
    whole,
)
from methods.settings import Condition, one_of, setting

EVEN = Condition("an even number >= 2", lambda value: value >= 2 and value % 2 == 0)
ROTATION = "its matrix starts as the identity"
ANGLES = {"road_1": 1, "road_2": 2, "road_4": 4}  # trained numbers per output


def _count_psoft(given: Settings, n_in: int, n_out: int) -> int:
    r = number(given, "r")
    return r * (r - 1) // 2 + 2 * r


def _count_oft(given: Settings, n_in: int, n_out: int) -> int:
    size = _find_block(n_in, number(given, "oft_block_size"))
    return n_in // size * (size * (size - 1) // 2)


def _find_block(n_in: int, asked: int) -> int:
    """Return the size of OFT's blocks: the divisor of the width next to what was asked for."""
    divisors = [size for size in range(1, n_in + 1) if n_in % size == 0]
    return min(divisors, key=lambda size: (abs(size - asked), size))


ORTHOGONAL = (
    Tuner(
        "oft",
        "OFT",
        "Qiu et al., Controlling Text-to-Image Diffusion by Orthogonal Finetuning, NeurIPS 2023",
        "https://arxiv.org/abs/2306.07280",
        2023,
        "OFT",
        count_each(_count_oft),
        whole(
            "oft_block_size", 32, "size of a block; the next divisor of a width is taken", 16, 32
        ),
        {"r": 0},
        Family.ORTHOGONAL,
        start=ROTATION,
    ),
    Tuner(
        "boft",
        "BOFT",
        "Liu et al., Parameter-Efficient Orthogonal Finetuning via Butterfly "
        "Factorization, ICLR 2024",
        "https://arxiv.org/abs/2311.06243",
        2024,
        "BOFT",
        count_each(lambda given, n_in, n_out: n_in * number(given, "boft_block_size") + n_out),
        whole("boft_block_size", 4, "size of a block; it must divide all widths", 4, 8),
        family=Family.ORTHOGONAL,
        placement="qkvo",
        start=ROTATION,
    ),
    Tuner(
        "hra",
        "HRA",
        "Yuan et al., Bridging The Gap between Low-rank and Orthogonal Adaptation "
        "via Householder Reflection Adaptation, NeurIPS 2024",
        "https://arxiv.org/abs/2405.17484",
        2024,
        "HRA",
        count_each(lambda given, n_in, n_out: number(given, "r") * n_in),
        {"r": setting(8, "reflections; pairs of equal ones at the start", EVEN, (4, 8, 16))},
        family=Family.ORTHOGONAL,
        tolerance=ROUNDING,
        start=ROTATION,
    ),
    Tuner(
        "psoft",
        "PSOFT",
        "Efficient Orthogonal Fine-Tuning with Principal Subspace Adaptation, 2025",
        "https://openreview.net/forum?id=FSHrinMArK",
        2025,
        "PSOFT",
        count_each(_count_psoft),
        rank(16, 16, 32) | whole("psoft_alpha", 16, "the change is scaled by alpha / rank"),
        family=Family.ORTHOGONAL,
        tolerance=ROUNDING,
        start=ROTATION,
    ),
    Tuner(
        "road",
        "RoAd",
        "Liao and Monz, 3-in-1: 2D Rotary Adaptation for Efficient Finetuning, "
        "Efficient Batching and Composability, NeurIPS 2024",
        "https://arxiv.org/abs/2409.00119",
        2024,
        "ROAD",
        count_each(lambda given, n_in, n_out: ANGLES[str(given["variant"])] * n_out),
        {
            "variant": setting("road_1", "which numbers pairs share", one_of(*ANGLES)),
            **whole("group_size", 8, "outputs of a group; it must divide all outputs"),
        },
        family=Family.ORTHOGONAL,
        start=ROTATION,
    ),
)

SPECTRAL = (
    Tuner(
        "fourierft",
        "FourierFT",
        "Gao et al., Parameter-Efficient Fine-Tuning with Discrete Fourier Transform, ICML 2024",
        "https://arxiv.org/abs/2405.03003",
        2024,
        "FOURIERFT",
        lambda given, shapes: number(given, "n_frequency") * len(shapes),
        whole("n_frequency", 1000, "trained entries of a layer's spectrum", 200, 1000)
        | scale("scaling", 150.0, "scale of the update", 100.0, 150.0, 300.0)
        | seed("random_loc_seed", 777),
        {"init_weights": True},
        Family.SPECTRAL,
        rates=LARGE,
    ),
    Tuner(
        "waveft",
        "WaveFT",
        "Bilican et al., Exploring Sparsity for Parameter Efficient Fine "
        "Tuning Using Wavelets, 2025",
        "https://arxiv.org/abs/2505.12532",
        2025,
        "WAVEFT",
        lambda given, shapes: number(given, "n_frequency") * len(shapes),
        whole("n_frequency", 1000, "trained entries of a layer's transform", 1000, 2592)
        | scale("scaling", 25.0, "scale of the update", 5.0, 25.0)
        | seed("random_loc_seed", 777),
        family=Family.SPECTRAL,
        rates=LARGE,
    ),
    Tuner(
        "c3a",
        "C3A",
        "Chen et al., Parameter-Efficient Fine-Tuning via Circular Convolution, ACL Findings 2025",
        "https://arxiv.org/abs/2407.19342",
        2025,
        "C3A",
        count_each(lambda given, n_in, n_out: n_in * n_out // number(given, "block_size")),
        whole("block_size", 8, "size of a block; it must divide all widths"),
        {"init_weights": True},
        Family.SPECTRAL,
    ),
)

TUNERS = (*ORTHOGONAL, *SPECTRAL)
