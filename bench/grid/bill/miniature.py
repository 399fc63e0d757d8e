"""A run in miniature, which tells what the run will take: a few steps and one case.

The case is of the inner validation part, also where a run scores held-out cases; these are not
looked at. Its reference stands for the prediction when the scores are computed: the surfaces of an
untrained network's noise would take far longer than those of a segmentation.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from bench.run.execute import execute_run
from bench.run.fold import load_fold
from bench.run.ranks.inference import Inference
from bench.run.setup import Hooks, Setup, set_up
from bench.run.watch.progress import Stand
from bench.specs.protocol import Protocol, TuneSpec
from bench.specs.run import Place, RunSpec
from datasets.splits.rule import Split

N_STEPS = 10
RATE = 1e-6  # nothing has to be learned, and nothing may diverge


def make_probe(spec: RunSpec, fold: int) -> RunSpec:
    """Return the miniature of a run, equal for runs that take as long for a unit of each phase."""
    own = spec.own_protocol
    train = replace(
        own.train,
        epochs=1,
        max_steps=0,
        val_every=1,
        accumulate=1,
        lr=RATE,
        decoder_lr=RATE,
        method_lr="",
    )
    protocol = Protocol(
        replace(own.data, patches_per_epoch=N_STEPS * train.batch, shots=0),
        own.model,
        train,
        replace(own.eval, et_min_vox="0"),
        TuneSpec(),
    )
    plain = replace(spec, chosen=(), study="", study_fold=None, edges=(), group="")
    return replace(plain, fold=fold, seed=0, protocol=protocol)


def cut_split(split: Split) -> Split:
    """Return the cases of a probe: one to train on; one to validate, and to score twice."""
    return Split(split.train[:1], split.val[:1], split.val[:1] * 2)


def probe_run(spec: RunSpec, place: Place, send: Callable[[str, Stand], None]) -> None:
    """Carry out a probe, whose spec is of `make_probe`, in its folder."""
    execute_run(spec, place, send, _set_up)


def _set_up(spec: RunSpec, place: Place, hooks: Hooks) -> Setup:
    setup = set_up(spec, place, hooks, partial(load_fold, cut=cut_split))
    (case,) = setup.fold.val

    def predict(image: np.ndarray) -> np.ndarray:
        setup.inference.predict(image)
        return np.asarray(case.label())

    return replace(setup, inference=Inference(predict))
