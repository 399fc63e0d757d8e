"""How much a run has to do, in the units of `bench.cost.phases`."""

import math

from bench.cost.phases import FIT, MEASURE, PREPARE, SCORE, VALIDATE, WRITE
from bench.run.training.schedule import Schedule
from bench.specs.protocol import ET_AUTO, Protocol
from bench.specs.run import RunSpec
from datasets.splits.rule import Split


def count_run(spec: RunSpec, split: Split) -> dict[str, int]:
    """Return the units of each phase of a run."""
    protocol = spec.own_protocol
    n_val = len(split.val)
    units = count_trial(protocol, n_val)
    if protocol.eval.et_min_vox == ET_AUTO:
        units[VALIDATE] += n_val
    return units | {WRITE: 1, SCORE: len(split.test), MEASURE: 1}


def count_trial(protocol: Protocol, n_val: int) -> dict[str, int]:
    """Return the units of each phase of a tuning trial with so many inner validation cases."""
    train = protocol.train
    schedule = Schedule(train, math.ceil(protocol.data.patches_per_epoch / train.batch))
    whole, rest = divmod(schedule.n_steps, schedule.steps_per_epoch)
    n_batches = whole * schedule.batches_per_epoch
    n_batches += min(rest * train.accumulate, schedule.batches_per_epoch)
    n_val = min(train.val_cases or n_val, n_val)
    n_validations = math.ceil(schedule.epochs / train.val_every)
    return {PREPARE: 1, FIT: n_batches, VALIDATE: n_validations * n_val}
