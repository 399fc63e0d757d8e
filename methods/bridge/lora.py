"""LoRA and its forms."""

from methods.bridge.types import (
    ROUNDING,
    Settings,
    Tuner,
    count_each,
    count_low_rank,
    dropout,
    number,
    rank,
    scale,
    whole,
)

ALPHA = "lora_alpha"
LORA = {
    **rank(8, 4, 8, 16),
    **whole(ALPHA, 8, "the update is scaled by alpha / rank", 8, 16, 32),
    **dropout("lora_dropout"),
}
A_LATE = ("*.lora_A.*",)
PRINCIPAL = "what starts in A and B is taken from the frozen weight: equal but for rounding"


def _find_fault_of_adalora(given: Settings) -> str:
    first, last = number(given, "init_r"), number(given, "target_r")
    return f"target_r must be <= init_r={first}, got {last}" if last > first else ""


TUNERS = (
    Tuner(
        "lora",
        "LoRA",
        "Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022",
        "https://arxiv.org/abs/2106.09685",
        2022,
        "LORA",
        count_low_rank(),
        LORA,
        late=A_LATE,
    ),
    Tuner(
        "dora",
        "DoRA",
        "Liu et al., DoRA: Weight-Decomposed Low-Rank Adaptation, ICML 2024",
        "https://arxiv.org/abs/2402.09353",
        2024,
        "LORA",
        count_each(lambda given, n_in, n_out: number(given, "r") * (n_in + n_out) + n_out),
        LORA,
        {"use_dora": True},
        late=A_LATE,
    ),
    Tuner(
        "rslora",
        "rsLoRA",
        "Kalajdzievski, A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA, 2023",
        "https://arxiv.org/abs/2312.03732",
        2023,
        "LORA",
        count_low_rank(),
        LORA,
        {"use_rslora": True},
        late=A_LATE,
    ),
    Tuner(
        "pissa",
        "PiSSA",
        "Meng et al., PiSSA: Principal Singular Values and Singular Vectors "
        "Adaptation of Large Language Models, NeurIPS 2024",
        "https://arxiv.org/abs/2404.02948",
        2024,
        "LORA",
        count_low_rank(),
        LORA,
        {"init_lora_weights": "pissa"},
        tolerance=ROUNDING,
        start=PRINCIPAL,
    ),
    Tuner(
        "olora",
        "OLoRA",
        "Büyükakyüz, OLoRA: Orthonormal Low-Rank Adaptation, 2024",
        "https://arxiv.org/abs/2406.01775",
        2024,
        "LORA",
        count_low_rank(),
        LORA,
        {"init_lora_weights": "olora"},
        tolerance=ROUNDING,
        start=PRINCIPAL,
    ),
    Tuner(
        "adalora",
        "AdaLoRA",
        "Zhang et al., Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning, ICLR 2023",
        "https://arxiv.org/abs/2303.10512",
        2023,
        "ADALORA",
        count_each(lambda given, n_in, n_out: number(given, "init_r") * (n_in + n_out + 1)),
        {
            **rank(12, 8, 12, name="init_r"),
            **whole("target_r", 8, "mean rank at the end", 4, 8),
            **whole("total_step", 1000, "steps after which the ranks are settled"),
            **whole(ALPHA, 8, "the update is scaled by alpha / rank", 8, 16, 32),
            **scale("orth_reg_weight", 0.5, "weight of the penalty on A and B"),
        },
        companion="methods.bridge.adalora:Allocator",
        find_fault=_find_fault_of_adalora,
    ),
)
