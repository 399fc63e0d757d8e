"""Write docs/methods.md (see `COMMAND`) from the registries, docstrings and counted parameters.

The module docstring of a method or decoder is its article: a title, ``Reference:``, the equation
(indented), what has to be said, and a paragraph that begins with ``Our choices:`` for where we
leave the paper or the authors' code.
"""

import inspect
import sys
from collections.abc import Sequence
from dataclasses import Field, fields, replace
from itertools import groupby
from typing import Any

import methods
from bench.cost.inventory import NetworkShape, build_outline, count_methods
from bench.cost.measure import count_elements
from bench.cost.reference_counts import count_reference
from bench.models import registry
from bench.models.backbones.info import DROP
from bench.models.references import registry as references
from bench.models.references.base import Task
from docs.articles import format_article, join, read_article, table, wrap, wrap_item
from docs.memory_section import memory_section
from methods.base import Contender, Method
from methods.bridge import registry as bridge
from methods.bridge.method import make_record
from methods.bridge.names import UNUSABLE
from methods.sites import Role
from reports.records.cost import GFLOP_PER_GMAC

COMMAND = "python -m docs.generate_methods > docs/methods.md"
SHAPES = {
    "ViT-B/16": NetworkShape("vit_b16", prefix_tokens=DROP),
    "Swin-T": NetworkShape("swin_tiny"),
}
TASK = Task(in_channels=4, n_classes=4, patch=(128, 128, 128))  # of the reference networks

PLACES: dict[Role, str] = {
    Role.PROMPT: "in front of the patch tokens that enter the first block",
    Role.BLOCK: "at every transformer block",
    Role.ATTN_BRANCH: "at every residual branch norm → attention",
    Role.MLP_BRANCH: "at every residual branch norm → MLP",
    Role.ATTN: "at every attention, behind its norm",
    Role.MLP: "at every MLP, behind its norm",
    Role.QKV: "at every layer that makes query, key and value",
    Role.PROJ: "at every output projection of the attention",
    Role.FC1: "at every MLP's first layer",
    Role.FC2: "at every MLP's second layer",
    Role.NORM1: "at every norm in front of the attention",
    Role.NORM2: "at every norm in front of the MLP",
    Role.PATCH_EMBED: "at the convolution that makes tokens",
    Role.PATCH_NORM: "at the norm in front of the first block, where there is one",
    Role.MERGE_NORM: "at the norm of every merging of four tokens, where there are some",
    Role.REDUCTION: "at the linear layer of every merging of four tokens, where there are some",
    Role.FINAL_NORM: "at the norm behind the last block",
}

INTRODUCTION = """
Every method is put into the same frozen backbone and trains beside the same decoder; it never
learns which backbone it is in. A volume is read slice by slice: its D slices are a batch of images
for the backbone, tokens (B·D, N, E). Only those of the family `volumetric` see the neighbouring
slices. `--methods` takes names, `paper` (the seven of Med-Tuning's paper), families and `all`. The
setting `blocks` of every method says which blocks it is put into; late blocks alone need less
computing and keep less, since no gradient goes through those in front of them.

**Tuned** counts what the method itself trains, without the decoder, with default settings, for 4
input channels and patches of 128×128×128 voxels (Med-Adapter's Fourier weights depend on the
depth). ViT-B/16 is without its class token, as in Med-Tuning (`model.prefix_tokens=drop`); with it
`full` trains 1,536 more, `spt` in proportion, the other methods as many. Swin-T is timm's, with
2/2/6/2 blocks. What a method leaves frozen of the pre-trained backbone gets no gradient and
keeps its buffers; but for whole blocks that train, it is in evaluation mode. **Step 0** says
whether the network starts as the frozen one, exactly. For any backbone and patch,
`python -m bench list methods --backbone vit_b16` counts these parameters, the decoder's and all.
[Checks](checks.md) has what `bench check` found of each method.

In the equations, E is the width of the tokens, x the stream of tokens that runs through the blocks,
W a matrix; LN is layer norm, BN batch norm.
"""


NETWORKS = """
What a user would pick instead: a conventional 3-D network, trained whole from random weights on the
same cases, folds and patches, by the same loop. It has no backbone and none of our decoders, so one
run of it serves for the tables of every backbone; they show it below the methods. Ask for it by
name: `--methods all,net:nnunet,net:unetr`; `all` alone means the methods. Counted for one patch of
4×128×128×128 voxels in fp32: operations of a forward and a backward pass (GFLOP: two per
multiply-accumulate), and what is kept for the latter. A patch that a network does not take is
refused with the sizes that it takes; `pad=true` fills the patch up with zeros instead and cuts the
logits, at the cost of the larger size. Its share of tuned parameters is of itself, 100 %.
`--checkpointing` and `--slices-per-chunk` act on backbones alone.
"""

BRIDGE = """
`peft:TYPE` is a tuner of the library peft, an optional dependency: `pip install
'medtuning-bench[peft]'`. Names and settings are peft's, such as `--methods
"peft:dora[r=4],peft:vera"`; `peft` is all of them, which `all` does not include. `python -m bench
list methods --all` shows their settings. `placement` says which layers get one: `qkv`, `qkvo`,
`mlp`, `all` or `qkv_fc2`; the default is the layer of query, key and value, which is one layer
here, so that a type shares its tensors between the three. The layers come from our roles, so a name
of peft's own never matches by accident; a decoder is never frozen or copied by it.

`bench check peft:dora` checks what it checks of our own methods, and that each layer has an effect:
all that trains is moved at random, then one layer after the other is switched off, and the output
has to change. Merging is undone bit for bit, also where the library only rounds back (or, for
`osf`, cannot). Tuning tries a range of learning rates that suits the type, in place of the
protocol's. **Tuned** is the closed form with default settings, as above.

Where a default is ours: `waveft` and `fourierft` train 1,000 numbers a layer, `psoft` has rank 16,
`miss` and `bone` rank 8, `shira` 8, `c3a`, `road` and `vblora` groups of 8, so that every backbone
can have them; `fourierft` and `c3a` start at zero. `adalora` settles its ranks within `total_step`
steps of the optimiser, and adds the penalty of its paper to the loss, which peft adds to models of
transformers alone.
"""

UNUSABLE_TYPES = """
These types cannot be put into a vision backbone; they are refused with the reason.
"""

DECODERS = """
A decoder turns four maps of features of every slice into logits. Every backbone names its own;
`--decoder NAME` takes another one, and `--decoder medtuning` the backbone's own as the public code
of Med-Tuning computes it, for parity with the paper. Both have the same parameters.

By default all of a decoder trains, from random numbers that are equal for all methods of a seed.
`--decoder-from RUN` begins with the decoder of a run that is done, and `model.decoder_mode` says
what trains in it. `train`: all of it, from there on. `frozen`: nothing; it stays in evaluation
mode, batch norms with their statistics, and gradients go through it to the method. `peft`: low-rank
residuals beside its frozen weights. [protocol.md](protocol.md#the-decoder-of-an-earlier-run) has
the rules for such runs.

Residuals are our definition, in the form of LoRA (Hu et al., ICLR 2022): a convolution or linear
layer with the weight W computes with W + U V, where W is a matrix of its first axis and all others,
U (rows, 4) starts at zero and V (4, columns) at random. Biases and norms stay frozen, and the
decoder stays in evaluation mode.
"""


def write_guide() -> str:
    """Return the guide as Markdown; the same text for the same code."""
    built = [methods.build(name) for name in methods.names()]
    tuned = _count_tuned()
    parts = ["# Methods", f"<!-- Generated, do not edit: {COMMAND} -->", wrap(INTRODUCTION)]
    parts.append(_summary(built, tuned))
    for _, group in groupby(built, key=lambda method: type(method).__module__):
        parts.append(_section(list(group), tuned))
    parts += [
        *_bridge_section(),
        *_decoder_sections(),
        memory_section(SHAPES["ViT-B/16"]),
        *_networks_section(),
    ]
    return "\n\n".join(parts) + "\n"


def _count_tuned() -> dict[str, list[str]]:
    tuned: dict[str, list[str]] = {name: [] for name in methods.names()}
    for shape in SHAPES.values():
        for count in count_methods(shape):
            parts = count.trained_by_part
            tuned[count.name].append(f"{parts.method:,}" if parts else "cannot host it")
    return tuned


def _summary(built: list[Method], tuned: dict[str, list[str]]) -> str:
    rows = []
    for method in built:
        info = method.info
        paper = f"[{info.paper}]({info.url})" if info.url else info.paper
        start = "identity" if info.identity_at_init else "changes the output"
        merges = "yes" if info.mergeable else "no"
        rows.append((f"`{info.name}`", info.family, paper, *tuned[info.name], start, merges))
    titles = (f"Tuned, {title}" for title in SHAPES)
    return table(("Method", "Family", "Paper", *titles, "Step 0", "Merges"), rows)


def _section(group: list[Method], tuned: dict[str, list[str]]) -> str:
    parts = _format_group(group, "##")
    for method in group:
        parts += _facts(method, tuned[method.info.name])
    return "\n\n".join(parts)


def _format_group(group: Sequence[Contender], level: str) -> list[str]:
    title = " and ".join(each.info.title for each in group)
    article = read_article(type(group[0]).__module__)
    return [f"{level} {title}", *format_article(article, group[0].info.url)]


def _bridge_section() -> list[str]:
    outlines = [build_outline(shape).backbone for shape in SHAPES.values()]
    rows = []
    for name in bridge.names():
        method = make_record(bridge.find(name))()
        info = method.info
        counts = [f"{method.expected_tuned(backbone):,}" for backbone in outlines]
        start = "identity" if info.identity_at_init else "changes the output"
        start = "nearly identity" if info.identity_tolerance else start
        merges = "yes" if info.mergeable else "no"
        paper = f"[{info.paper}]({info.url})"
        rows.append((f"`{name}`", info.family, paper, *counts, start, merges))
    titles = (f"Tuned, {title}" for title in SHAPES)
    headings = ("Type", "Family", "Paper", *titles, "Step 0", "Merges")
    refused = [(f"`{bridge.PREFIX}{name}`", reason) for name, reason in UNUSABLE.items()]
    parts = ["## Types of the library peft", wrap(BRIDGE), table(headings, rows)]
    return [*parts, wrap(UNUSABLE_TYPES), table(("Type", "Reason"), refused)]


def _decoder_sections() -> list[str]:
    rows = []
    for name in registry.DECODERS:
        owners = [f"`{each}`" for each in registry.names() if registry.get(each).decoder == name]
        counts = [_count_decoder(name, shape) for shape in SHAPES.values()]
        rows.append((f"`{name}`", ", ".join(owners) or "-", *counts))
    headings = ("Decoder", "Own decoder of", *(f"Parameters, {title}" for title in SHAPES))
    parts = ["## Decoders", wrap(DECODERS), table(headings, rows)]
    by_module = groupby(registry.DECODERS.values(), key=lambda info: info.builder.split(":")[0])
    for module, infos in by_module:
        names = " and ".join(f"`{info.name}`" for info in infos)
        parts += [f"### {names}", *format_article(read_article(module))]
    return parts


def _count_decoder(name: str, shape: NetworkShape) -> str:
    if registry.DECODERS[name].needs_swin and not registry.get(shape.backbone).is_swin:
        return "does not fit"
    decoder = build_outline(replace(shape, decoder=name)).decoder
    return f"{count_elements(decoder.parameters()):,}"


def _facts(method: Method, tuned: list[str]) -> list[str]:
    info = method.info
    places = "; ".join(PLACES[role] for role in method.needed_roles()) or "nothing is inserted"
    sizes = ", ".join(f"{size} on {title}" for title, size in zip(SHAPES, tuned, strict=True))
    start = "the frozen network" if info.identity_at_init else "not the frozen network"
    merges = "yes" if info.mergeable else "no"
    in_general = join(inspect.getdoc(method.expected_tuned) or "").removeprefix("Return ")
    facts = (
        f"Where it sits: {places}.",
        f"Tuned parameters: {sizes}; in general {in_general}",
        f"At step 0: {start}; {info.identity_note}.",
        f"Merges into the frozen weights: {merges}.",
    )
    listed = "\n".join(map(wrap_item, facts))
    return [f"### `{info.name}`", listed, *_settings_table(method)]


def _settings_table(contender: Contender) -> list[str]:
    rows = []
    for item in fields(contender):
        default, rule = _describe_values(item)
        rows.append((f"`{item.name}`", f"`{default}`", item.metadata["help"], rule))
    return [table(("Setting", "Default", "Meaning", "Rule"), rows)] if rows else []


def _networks_section() -> list[str]:
    built = list(map(references.build, references.names()))
    rows = []
    for network in built:
        info = network.info
        count = count_reference(network, TASK)
        size, kept = f"{count.n_parameters:,}", f"{count.saved_bytes / 2**30:.2f}"
        paper = f"[{info.paper}]({info.url})"
        training = f"{GFLOP_PER_GMAC * count.training_gmac:,.0f}"
        rows.append((f"`{info.name}`", paper, size, training, kept, info.size_rule))
    headings = ("Network", "Paper", "Parameters", "Training GFLOP", "Kept GiB", "Patch, each axis")
    parts = ["## Reference networks", wrap(NETWORKS), table(headings, rows)]
    for _, group in groupby(built, key=lambda network: type(network).__module__):
        members = list(group)
        parts += _format_group(members, "###")
        for network in members:
            parts += [f"#### `{network.info.name}`", *_settings_table(network)]
    return parts


def _describe_values(item: Field[Any]) -> tuple[str, str]:
    """Return the default of a setting, and the rule for its values."""
    if isinstance(item.default, bool):
        return str(item.default).lower(), "true or false"
    return str(item.default), item.metadata["must_be"].text.replace(">=", "≥")


if __name__ == "__main__":
    sys.stdout.write(write_guide())
