"""Named protocols: from a laptop without data to the paper's setting."""

from dataclasses import dataclass
from pathlib import Path

from bench.specs.protocol import DataSpec, EvalSpec, ModelSpec, Protocol, TrainSpec
from bench.specs.run import EMBEDDED_WEIGHTS
from methods.settings import SpecError, suggest


@dataclass(frozen=True)
class PhantomSpec:
    """The synthetic volumes of a preset that brings its own data."""

    n_cases: int
    shape: tuple[int, int, int]  # (D, H, W) in voxels


@dataclass(frozen=True)
class Preset:
    """A protocol and what it is for."""

    summary: str
    protocol: Protocol
    phantom: PhantomSpec | None = None  # None where the user's own data are needed
    trial_epochs: int = 0  # of a tuning trial, unless the command says otherwise; 0 = train.epochs
    tuned_file: Path | None = None  # values that `tune` found under exactly this protocol


PRESETS = {
    "demo": Preset(
        "phantom volumes, a tiny ViT, two CPU cores, minutes",
        Protocol(
            data=DataSpec(patches_per_epoch=10, n_folds=3),
            model=ModelSpec(weights=EMBEDDED_WEIGHTS),
            train=TrainSpec(epochs=20, batch=1, lr=5e-3, decoder_lr=0.1),
        ),
        PhantomSpec(n_cases=48, shape=(32, 64, 64)),  # 16 of them are held out
        trial_epochs=10,
        tuned_file=Path(__file__).parent / "demo_tuned.toml",
    ),
    "quick": Preset(
        "real data, one GPU, hours",
        Protocol(
            data=DataSpec(patch=(32, 128, 128), patches_per_epoch=250),
            model=ModelSpec(backbone="vit_b16", weights="in21k"),
            train=TrainSpec(
                epochs=100, precision="bf16-mixed", val_every=10, val_cases=8, val_overlap="0.25"
            ),
            eval=EvalSpec(overlap=0.5),
        ),
    ),
    "paper": Preset(
        "the protocol of Med-Tuning (Shen et al., MIDL 2024): 128^3 patches, 250 epochs",
        Protocol(
            data=DataSpec(patch=(128, 128, 128), patches_per_epoch=268, foreground_frac=0.0),
            model=ModelSpec(
                backbone="vit_b16",
                weights="in21k",
                decoder="medtuning",
                prefix_tokens="drop",
                also_train="paper",
                backbone_mode="train",
            ),
            train=TrainSpec(
                epochs=250,
                batch=2,
                accumulate=8,
                loss="dice",
                optimizer="adam",
                lr=2e-3,
                decoder_lr=2e-3,
                method_lr="full=1e-4",
                weight_decay=1e-5,
                decoder_weight_decay=1e-5,
                decay="all",
                schedule="medtuning",
                clip_norm=0.0,
                select="last",
                val_every=50,
                val_cases=16,
                val_overlap="0.25",
                val_flips=False,
            ),
            eval=EvalSpec(
                overlap=0.67, blend="constant", flips=True, hd95="pooled", empty_policy="medtuning"
            ),
        ),
    ),
}


def get_preset(name: str) -> Preset:
    """Return the preset of that name. Raises: SpecError with the nearest name."""
    if name not in PRESETS:
        raise SpecError(f"unknown preset '{name}'{suggest(name, list(PRESETS))}")
    return PRESETS[name]
