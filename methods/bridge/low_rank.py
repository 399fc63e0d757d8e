"""Low-rank updates of a layer that share nothing with other layers, in other forms than LoRA's."""

from math import ceil, isqrt

from methods.bridge.types import (
    LARGE,
    ROUNDING,
    Settings,
    Tuner,
    count_each,
    count_low_rank,
    dropout,
    number,
    rank,
    scale,
    seed,
    whole,
)
from methods.settings import Condition, setting

FACTOR = Condition("-1 or >= 1", lambda value: value == -1 or value >= 1)


def _factorise(n: int, factor: int) -> tuple[int, int]:
    """Return the two factors of n that LoKr splits a dimension into."""
    if factor > 0 and n % factor == 0:
        return factor, n // factor
    limit = isqrt(n) if factor == -1 else min(factor, isqrt(n))
    small = next(each for each in range(limit, 0, -1) if n % each == 0)
    return small, n // small


def _count_lokr(given: Settings, n_in: int, n_out: int) -> int:
    factor, r = number(given, "decompose_factor"), number(given, "r")
    (in_small, in_large), (out_small, out_large) = (_factorise(n, factor) for n in (n_in, n_out))
    low_rank = r < max(in_large, out_large) / 2
    second = r * (in_large + out_large) if low_rank else in_large * out_large
    return in_small * out_small + second


def _count_randlora(given: Settings, n_in: int, n_out: int) -> int:
    r, smaller = number(given, "r"), min(n_in, n_out)
    n_bases = ceil(smaller / r)
    return n_bases * (r + smaller)


def _count_glora(given: Settings, n_in: int, n_out: int) -> int:
    r = number(given, "r")
    return 2 * r * (n_in + n_out) + r * (n_in + 1) + 2


def _count_adamss(given: Settings, n_in: int, n_out: int) -> int:
    each, spaces = number(given, "subspace_rank"), number(given, "num_subspaces")
    return each * (spaces * min(number(given, "r"), n_in + 1, n_out) + n_out)


TUNERS = (
    Tuner(
        "loha",
        "LoHa",
        "Hyeon-Woo et al., FedPara: Low-Rank Hadamard Product, ICLR 2022",
        "https://arxiv.org/abs/2108.06098",
        2022,
        "LOHA",
        count_low_rank(times=2),
        rank(8, 4, 8, 16) | whole("alpha", 8, "the update is scaled by alpha / rank", 8, 16),
        late=("*.hada_w1_a.*", "*.hada_w1_b.*", "*.hada_w2_a.*"),
    ),
    Tuner(
        "lokr",
        "LoKr",
        "Yeh et al., Navigating Text-To-Image Customization: From LyCORIS "
        "Fine-Tuning to Model Evaluation, ICLR 2024",
        "https://arxiv.org/abs/2309.14859",
        2024,
        "LOKR",
        count_each(_count_lokr),
        {
            **rank(8, 4, 8, 16),
            **whole("alpha", 8, "the update is scaled by alpha / rank", 8, 16),
            "decompose_factor": setting(-1, "size of the first factor; -1: about the root", FACTOR),
        },
        late=("*.lokr_w2*",),
    ),
    Tuner(
        "hira",
        "HiRA",
        "Huang et al., HiRA: Parameter-Efficient Hadamard High-Rank Adaptation "
        "for Large Language Models, ICLR 2025",
        "https://openreview.net/forum?id=TwJrTz9cRS",
        2025,
        "HIRA",
        count_low_rank(),
        rank(32, 16, 32) | dropout("hira_dropout"),
        rates=LARGE,
        late=("*.hira_A.*",),
    ),
    Tuner(
        "delora",
        "DeLoRA",
        "Bini et al., Decoupling Angles and Strength in Low-rank Adaptation, ICLR 2025",
        "https://arxiv.org/abs/2503.18225",
        2025,
        "DELORA",
        count_each(lambda given, n_in, n_out: number(given, "r") * (n_in + n_out) + 1),
        rank(8, 4, 8, 16) | whole("delora_lambda", 15, "bound of the update at the start", 5, 15),
        late=("*.delora_A.*", "*.delora_lambda.*"),
    ),
    Tuner(
        "gralora",
        "GraLoRA",
        "Jung et al., GraLoRA: Granular Low-Rank Adaptation, NeurIPS 2025",
        "https://arxiv.org/abs/2505.20355",
        2025,
        "GRALORA",
        count_low_rank(),
        rank(32, 16, 32)
        | whole("alpha", 64, "the update is scaled by alpha / rank", 32, 64)
        | whole("gralora_k", 2, "blocks along each side; it must divide the rank"),
        late=("*.gralora_A.*",),
    ),
    Tuner(
        "miss",
        "MiSS",
        "Kang and Yin, MiSS: Revisiting the Trade-off in LoRA with an Efficient "
        "Shard-Sharing Structure, 2024",
        "https://arxiv.org/abs/2409.15371",
        2024,
        "MISS",
        count_each(lambda given, n_in, n_out: number(given, "r") * n_out),
        rank(8, 8, 16, 64),
    ),
    Tuner(
        "bone",
        "Bone",
        "Kang, Bone: Block-Affine Adaptation of Large Language Models, 2024",
        "https://arxiv.org/abs/2409.15371",
        2024,
        "MISS",
        count_each(lambda given, n_in, n_out: number(given, "r") * n_out),
        rank(8, 8, 16, 32),
        {"init_weights": "bat"},
    ),
    Tuner(
        "randlora",
        "RandLoRA",
        "Albert et al., RandLoRA: Full-Rank Parameter-Efficient "
        "Fine-Tuning of Large Models, ICLR 2025",
        "https://arxiv.org/abs/2502.00987",
        2025,
        "RANDLORA",
        count_each(_count_randlora),
        rank(32, 16, 32)
        | whole("randlora_alpha", 640, "scale of the update", 64, 640)
        | seed("projection_prng_key"),
        rates=LARGE,
        tolerance=ROUNDING,
        late=("*.randlora_gamma.*",),
    ),
    Tuner(
        "glora",
        "GLoRA",
        "Chavan et al., One-for-All: Generalized LoRA for Parameter-Efficient Fine-tuning, 2023",
        "https://arxiv.org/abs/2306.07967",
        2023,
        "GLORA",
        count_each(_count_glora),
        rank(8, 4, 8, 16),
        late=("*.Xu",),
        rare={"*.glora_D.*": "it multiplies the frozen bias, which may be zero"},
    ),
    Tuner(
        "adamss",
        "AdaMSS",
        "AdaMSS: Adaptive Multi-Subspace Approach for Parameter-Efficient "
        "Fine-Tuning, NeurIPS 2025",
        "https://huggingface.co/docs/peft/package_reference/adamss",
        2025,
        "ADAMSS",
        count_each(_count_adamss),
        rank(100, 50, 100)
        | whole("num_subspaces", 5, "clusters of the singular vectors", 3, 5)
        | whole("subspace_rank", 1, "rank in each cluster", 1, 2),
        {"random_seed": 0},
        late=("*.adamss_A.*",),
    ),
    Tuner(
        "deft",
        "DEFT",
        "DEFT: Decompositional Efficient Fine-Tuning, as described by peft",
        "https://huggingface.co/docs/peft/package_reference/deft",
        2025,
        "DEFT",
        count_low_rank(),
        rank(8, 4, 8, 16),
        tolerance=ROUNDING,
    ),
    Tuner(
        "peanut",
        "PEANuT",
        "PEANuT: Parameter-Efficient Adaptation with Weight-aware Neural Tweakers, 2024",
        "https://arxiv.org/abs/2410.01870",
        2024,
        "PEANUT",
        count_each(lambda given, n_in, n_out: 2 * number(given, "r") * n_out),
        rank(32, 16, 32) | scale("scaling", 1.0, "scale of the update", 0.1, 1.0),
        late=("*.peanut_A.*",),
    ),
)
