"""The names of peft's types: those that can be put into a vision backbone, and why others cannot.

Nothing in here needs torch.
"""

PROMPTS = "it puts virtual tokens into a language model of transformers"
TEXT = "it needs a language model of transformers"

UNUSABLE = {
    "prompt_tuning": PROMPTS,
    "multitask_prompt_tuning": PROMPTS,
    "p_tuning": PROMPTS,
    "prefix_tuning": PROMPTS,
    "cpt": PROMPTS,
    "cartridge": PROMPTS,
    "adaption_prompt": TEXT,
    "shadow": TEXT,
    "trainable_tokens": "it trains rows of an embedding of words",
    "xlora": "it mixes adapters that were trained before",
    "poly": "its layers need a task's number beside their input",
}

TABLES = {  # file in here -> its types
    "lora": ("lora", "dora", "rslora", "pissa", "olora", "adalora"),
    "low_rank": (
        *("loha", "lokr", "hira", "delora", "gralora", "miss"),
        *("bone", "randlora", "glora", "adamss", "deft", "peanut"),
    ),
    "shared": ("vera", "pvera", "vblora", "tinylora", "unilora", "frod", "lily"),
    "structured": ("oft", "boft", "hra", "psoft", "road", "fourierft", "waveft", "c3a"),
    "parts": ("shira", "supertuning", "osf", "ia3", "beft", "ln_tuning"),
}
