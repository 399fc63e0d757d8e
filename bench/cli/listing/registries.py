"""Lists of data sets, backbones, decoders, weights and tables; nothing heavy is imported."""

from collections.abc import Iterator

from rich.console import Console

import datasets
from bench.cli.listing.entries import Entry, print_entries
from bench.models import registry
from bench.models.weights import catalogue

REPORTS = {  # kinds of `report`, in words
    "main": "Dice and HD95 of each method; the default",
    "paper": "the same by backbone and pre-training, HD95 by region",
    "efficiency": "parameters, FLOPs, memory, time",
    "utilisation": "steps, waiting, validating and more, as shares of a run's time",
    "ablation": "several settings of one method",
    "pretraining": "several weights of a backbone",
    "kshot": "several numbers of training cases",
    "gap": "default settings against tuned ones",
    "tuning": "what the tuning studies found",
    "comparison": "paired differences to one method (--versus)",
    "noninferiority": "whether a method is no worse than full fine-tuning, at a margin",
    "variance": "between cases, folds and seeds",
    "all": "every kind that there is something for",
}


def show_datasets(console: Console) -> None:
    """Print the releases of the data sets, by data set."""
    console.print("A name such as brats means whichever of its releases a root holds.")
    console.print("A datalist (.json) and a raw folder of nnU-Net are data sets, too.\n")
    print_entries(console, _iter_datasets())


def _iter_datasets() -> Iterator[Entry]:
    family = ""
    for name, (parent, release) in datasets.releases().items():
        lines = [f"{release.title}, one of {parent}"]
        if parent != family:
            family = parent
            lines.append(datasets.get(name).reference)
        regions = ", ".join(region.name for region in release.regions)
        lines.append(f"channels: {', '.join(release.channels)}; regions: {regions}")
        yield name, [*lines, f"files: {release.layout}"]


def show_backbones(console: Console) -> None:
    """Print the backbones, their weights and decoders."""
    console.print("timm:NAME takes any plain ViT or Swin of timm; package.module:NAME your own.\n")
    print_entries(console, _iter_backbones())


def _iter_backbones() -> Iterator[Entry]:
    for name in registry.names():
        info = registry.get(name)
        facts = f"weights: {', '.join(info.weights)}; decoder: {info.decoder}"
        size = f"height and width of a slice must be divisible by {info.multiple_of}"
        yield name, [info.title, facts, size, info.reference]


def show_decoders(console: Console) -> None:
    """Print the decoders and what they fit."""
    console.print("own means the backbone's own decoder.\n")
    print_entries(console, _iter_decoders())


def _iter_decoders() -> Iterator[Entry]:
    for name, decoder in registry.DECODERS.items():
        fits = "a Swin Transformer" if decoder.needs_swin else "every backbone"
        owners = [each for each in registry.names() if registry.get(each).decoder == name]
        lines = [f"{decoder.title}, for {fits}"]
        if owners:
            lines.append(f"own decoder of {', '.join(owners)}")
        yield name, lines


def show_weights(console: Console) -> None:
    """Print the pre-trained weights of each backbone, their origin and licence."""
    console.print("none means random numbers. A file works for every backbone: timm's safetensors,")
    console.print("Google's .npz, Microsoft's .pth, MAE, MoCo v3.\n")
    print_entries(console, _iter_weights())


def _iter_weights() -> Iterator[Entry]:
    for name in registry.names():
        lines = []
        for weights in registry.get(name).weights:
            entry = catalogue.find(name, weights)
            if entry is not None:
                lines.append(f"{weights}: {entry.tag} of timm's hub, licence {entry.licence}")
            elif weights != "none":
                lines.append(f"{weights}: comes with the package, no download")
        yield name, lines or ["none alone, or a file"]


def show_tables(console: Console) -> None:
    """Print the kinds of tables that `report --kind` makes."""
    print_entries(console, [(name, [words]) for name, words in REPORTS.items()])
