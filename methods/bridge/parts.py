"""A part of a layer trains: single weights, scales, biases, norms."""

from methods.base import Family
from methods.bridge.types import (
    LARGE,
    NORMS,
    ROUNDING,
    Settings,
    Tuner,
    count_each,
    count_low_rank,
    rank,
    seed,
)
from methods.settings import RATE, Condition, setting

PART = Condition("in (0, 1)", lambda value: 0 < value < 1)


def _count_osf(given: Settings, n_in: int, n_out: int) -> int:
    smaller = min(n_in, n_out)
    return (smaller - int(float(given["effective_rank"]) * smaller)) * (n_in + n_out + 1)


SPARSE = (
    Tuner(
        "shira",
        "SHiRA",
        "Bhardwaj et al., Sparse High Rank Adapters, NeurIPS 2024",
        "https://arxiv.org/abs/2406.13175",
        2024,
        "SHIRA",
        count_low_rank(),
        rank(8, 4, 8, 16) | seed("random_seed"),
        family=Family.SELECTIVE,
    ),
    Tuner(
        "supertuning",
        "Super-Tuning",
        "Super-Tuning, 2026, as cited by peft",
        "https://arxiv.org/abs/2607.09287",
        2026,
        "SUPERTUNING",
        count_each(lambda given, n_in, n_out: int(n_in * n_out * (1 - float(given["sparsity"])))),
        {"sparsity": setting(0.99, "frozen share of each weight", RATE, (0.95, 0.99))},
        family=Family.SELECTIVE,
    ),
    Tuner(
        "osf",
        "OSF",
        "Nayak et al., Sculpting Subspaces: Constrained Full Fine-Tuning in LLMs "
        "for Continual Learning, 2025",
        "https://arxiv.org/abs/2504.07097",
        2025,
        "OSF",
        count_each(_count_osf),
        {"effective_rank": setting(0.5, "frozen share of the singular values", PART, (0.5, 0.9))},
        family=Family.SELECTIVE,
        tolerance=ROUNDING,
        start="the frozen weight by its singular values: equal but for rounding",
    ),
)

SCALES = (
    Tuner(
        "ia3",
        "(IA)3",
        "Liu et al., Few-Shot Parameter-Efficient Fine-Tuning is Better and "
        "Cheaper than In-Context Learning, NeurIPS 2022",
        "https://arxiv.org/abs/2205.05638",
        2022,
        "IA3",
        count_each(lambda given, n_in, n_out: n_in if n_in > n_out else n_out),
        fixed={"feedforward_modules": r"fc2_\d+"},
        family=Family.SCALE_SHIFT,
        placement="qkv_fc2",
        rates=LARGE,
        start="its scales start at one",
    ),
    Tuner(
        "beft",
        "BEFT",
        "BEFT: Bias-Efficient Fine-Tuning of Language Models in Low-Data Regimes, 2025",
        "https://arxiv.org/abs/2509.15974",
        2025,
        "BEFT",
        count_each(lambda given, n_in, n_out: n_out),
        family=Family.SCALE_SHIFT,
        rates=LARGE,
        start="the added biases start at zero",
    ),
    Tuner(
        "ln_tuning",
        "LN tuning",
        "Zhao et al., Tuning LayerNorm in Attention: Towards Efficient "
        "Multi-Modal LLM Finetuning, ICLR 2024",
        "https://arxiv.org/abs/2312.11420",
        2024,
        "LN_TUNING",
        count_each(lambda given, n_in, n_out: 2 * n_out),
        family=Family.SCALE_SHIFT,
        roles=NORMS,
        rates=LARGE,
        start="the trained norms start as copies of the frozen ones",
    ),
)

TUNERS = (*SPARSE, *SCALES)
