"""Updates of a layer whose tensors are shared between layers, or random and frozen."""

from methods.bridge.types import (
    LARGE,
    NEARLY,
    ROUNDING,
    Settings,
    Shapes,
    Tuner,
    count_each,
    dropout,
    number,
    rank,
    scale,
    seed,
    whole,
)
from methods.settings import RATE, setting


def _count_vblora(given: Settings, shapes: Shapes) -> int:
    vectors, length = number(given, "num_vectors"), number(given, "vector_length")
    parts = sum((n_in + n_out) // length for n_in, n_out in shapes)
    return number(given, "r") * parts * vectors + vectors * length


def _count_lily(given: Settings, shapes: Shapes) -> int:
    """Each layer has A and a router; layers of one shape and kind share the B's."""
    r, experts = number(given, "r"), number(given, "num_B")
    own = sum(r * n_in + r * experts for n_in, _ in shapes)
    return own + sum(experts * r * n_out for _, n_out in set(shapes))


TUNERS = (
    Tuner(
        "vera",
        "VeRA",
        "Kopiczko et al., VeRA: Vector-based Random Matrix Adaptation, ICLR 2024",
        "https://arxiv.org/abs/2310.11454",
        2024,
        "VERA",
        count_each(lambda given, n_in, n_out: number(given, "r") + n_out),
        rank(256, 64, 256) | seed("projection_prng_key") | dropout("vera_dropout"),
        rates=LARGE,
        late=("*.vera_lambda_d.*",),
    ),
    Tuner(
        "pvera",
        "PVeRA",
        "PVeRA: Probabilistic Vector-Based Random Matrix Adaptation, 2025",
        "https://arxiv.org/abs/2512.07703",
        2025,
        "PVERA",
        count_each(lambda given, n_in, n_out: 2 * number(given, "r") + n_out),
        rank(256, 64, 256) | seed("projection_prng_key"),
        rates=LARGE,
        late=("*.pvera_lambda_d.*",),
    ),
    Tuner(
        "vblora",
        "VB-LoRA",
        "Li et al., VB-LoRA: Extreme Parameter Efficient Fine-Tuning with "
        "Vector Banks, NeurIPS 2024",
        "https://arxiv.org/abs/2405.15179",
        2024,
        "VBLORA",
        _count_vblora,
        rank(4, 4, 8)
        | whole("num_vectors", 256, "vectors in the bank", 64, 256)
        | whole("vector_length", 8, "length of a vector; it must divide all widths"),
        rates=LARGE,
        tolerance=None,
        start="what starts is random, as in the paper",
    ),
    Tuner(
        "tinylora",
        "TinyLoRA",
        "Learning to Reason in 13 Parameters, 2026",
        "https://arxiv.org/abs/2602.04118",
        2026,
        "TINYLORA",
        lambda given, shapes: number(given, "u") * len(shapes),
        rank(2, 2, 4)
        | whole("u", 64, "trained numbers of a layer", 16, 64)
        | seed("projection_seed", 42),
        rates=LARGE,
    ),
    Tuner(
        "unilora",
        "Uni-LoRA",
        "Uni-LoRA: One Vector is All You Need, NeurIPS 2025",
        "https://arxiv.org/abs/2506.00799",
        2025,
        "UNILORA",
        lambda given, shapes: number(given, "theta_d_length"),
        rank(4, 4, 8)
        | whole("theta_d_length", 256, "trained numbers in all", 256, 1024)
        | seed("proj_seed", 42),
        rates=LARGE,
        tolerance=NEARLY,
        start="the vector starts as small random numbers",
    ),
    Tuner(
        "frod",
        "FRoD",
        "FRoD, AAAI 2026, as cited by peft",
        "https://doi.org/10.1609/aaai.v40i31.39813",
        2026,
        "FROD",
        count_each(lambda given, n_in, n_out: n_in + int(float(given["sparse_rate"]) * n_in**2)),
        {
            "sparse_rate": setting(0.01, "trained share of the rotation", RATE, (0.01, 0.05)),
            **seed("projection_prng_key"),
        },
        {"progressbar": False},
        rates=LARGE,
        tolerance=ROUNDING,
        start="a decomposition of the frozen weights: equal but for rounding",
    ),
    Tuner(
        "lily",
        "Lily",
        "Zhong et al., Low-Rank Interconnected Adaptation across Layers, ACL Findings 2025",
        "https://arxiv.org/abs/2407.09946",
        2025,
        "LILY",
        _count_lily,
        rank(32, 16, 32)
        | whole("num_B", 2, "matrices B that the layers share", 2, 4)
        | scale("scaling", 1.0, "scale of the update", 0.1, 1.0),
        mergeable=False,
        late=("*.lily_A.*", "*.lily_router.*"),
    ),
)
