"""One run, from its spec to its result. A child process executes it; it does not know the grid."""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from bench.cost import measure
from bench.cost.compiling import compile_s
from bench.cost.flops import PassCount, counted_passes
from bench.cost.phases import MEASURE, SCORE, VALIDATE, WRITE, Advance
from bench.cost.timing import metered
from bench.cost.usage import mean_gpu_busy, record_usage
from bench.models.hooks import describe_modules
from bench.models.segmenter import Segmenter
from bench.run.delta_file import write_delta
from bench.run.firewall import READS_FILE, count_reads, write_selection
from bench.run.fold import Fold
from bench.run.interruption import Interrupted
from bench.run.provenance import describe_arithmetic, describe_end, describe_run, describe_start
from bench.run.ranks.group import Used
from bench.run.restore import check_reloaded, compare_reloaded
from bench.run.resume.account import Account
from bench.run.resume.folder import count_resumptions, remove_checkpoints
from bench.run.resume.keeper import Checkpoints
from bench.run.setup import DONE, Hooks, Setup, ending_of, set_up
from bench.run.training.reached import DivergedError, Fit
from bench.run.training.step import build_step
from bench.run.watch.progress import Recorder, Stand, forget_progress
from bench.run.watch.work import count_run
from bench.scoring.cases import score_cases
from bench.scoring.held_out import score_held_out
from bench.scoring.metrics import Scoring
from bench.scoring.postprocessing import choose_cutoff
from bench.specs.run import DELTA_FILE, Place, RunSpec, list_devices
from datasets.files import make_folder
from reports.records.cost import Cost
from reports.records.plain import to_plain
from reports.records.run import CaseScore, RunResult, Status


class Draft:
    """What is known of a run that has not ended."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.record = describe_run(spec)

    def keep(self, **found: Any) -> None:
        """Add fields. Raises: ValueError if one cannot be stored; the record stays as it was."""
        record = replace(self.record, **found)
        to_plain(record, "result")
        self.record = record

    def keep_provenance(self, **found: Any) -> None:
        self.keep(provenance=self.record.provenance | found)

    def keep_fold(self, fold: Fold) -> None:
        window = fold.info.window
        self.keep(split_hash=fold.split.hash, data_fingerprint=self.spec.fingerprint)
        self.keep_provenance(ct_window=asdict(window) if window else None)

    def keep_weights(self, model: Segmenter) -> None:
        loaded = model.backbone.loaded
        self.keep(weights_sha256=model.weights_sha256)
        self.keep_provenance(weights=asdict(loaded) if loaded else None)


def execute_run(
    spec: RunSpec,
    place: Place,
    send: Callable[[str, Stand], None],
    prepare: Callable[[RunSpec, Place, Hooks], Setup] = set_up,
) -> RunResult:
    """Carry out a run, write ``result.json`` into its folder and return it, however it ends.

    ``send`` is called as ``send(phase, stand)`` to tell how far the run is.
    """
    make_folder(place.folder)
    draft = Draft(spec)
    recorder = Recorder(place.folder, place.device, send)
    account = Account(recorder.clock, place.device)
    checkpoints = None if place.means.checkpoint_s is None else Checkpoints(place, account)
    ending = DONE
    try:
        with record_usage(place.folder, place.device):
            hooks = Hooks(
                draft.keep_fold,
                draft.keep_weights,
                on_progress=recorder.advance,
                checkpoints=checkpoints,
            )
            draft.keep(provenance=describe_start(spec, place))
            _train_and_score(prepare(spec, place, hooks), draft, place, recorder, account)
    except Interrupted:
        raise
    except (Exception, SystemExit) as error:  # the run's failure is its result; the grid goes on
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(place.folder)
        ending = ending_of(error, place.device)
    result = replace(
        draft.record,
        **vars(ending),
        provenance=draft.record.provenance | describe_end(account.wall_s),
        test_reads=count_reads(place.folder),
        interruptions=count_resumptions(place.folder),
    )
    forget_progress(place.folder)
    written = _write_result(result, place)
    if written.status is not Status.FAILED:  # a failed run is repeated, from its checkpoint
        remove_checkpoints(place.folder)
    return written


def _write_result(result: RunResult, place: Place) -> RunResult:
    """Write the result; where there is no room, as a failure in the place of the run's files."""
    try:
        result.write(place.folder)
        return result
    except OSError as error:
        for file in place.folder.iterdir():
            if file.is_file() and file.name != READS_FILE:
                file.unlink()
        failed = replace(result, **vars(ending_of(error, place.device)))
        failed.write(place.folder)
        return failed


def _train_and_score(
    setup: Setup, draft: Draft, place: Place, recorder: Recorder, account: Account
) -> None:
    spec = setup.spec
    recorder.expect(count_run(spec, setup.fold.split), spec.own_protocol.train.batch)
    precision = spec.own_protocol.train.precision
    draft.keep_provenance(**describe_arithmetic(setup.fabric.device, precision))
    draft.keep_provenance(slices_per_chunk=setup.execution.slices_per_chunk)
    counts = measure.count_parameters(setup.model)
    others = map(torch.device, list_devices(place.device, place.means.n_devices)[1:])
    began_s = time.time()
    with metered(setup.fabric.device, *others) as account.energy:
        fitted = _fit(setup, place, draft)
    gpu_busy_frac = mean_gpu_busy(place.folder, began_s)
    found = describe_modules(setup.model)
    if found:
        draft.keep_provenance(found_by_method=found)
    _choose(setup, place, fitted, draft)
    _check_delta(setup, place, draft)
    recorder.clock.tick(WRITE)
    score_s, passes = _score(setup, place, draft, recorder)
    used = setup.inference.end(Used(account.peak_memory_mib, passes.n_passes))
    account.others_mib, passes.n_passes = used.peak_memory_mib, used.n_passes
    costs = Cost(
        params_total=counts.total,
        params_tuned=counts.tuned,
        params_decoder=counts.decoder,
        params_decoder_plain=counts.decoder_plain,
        params_other=counts.other,
        params_tuned_frac=counts.tuned / setup.model.n_pretrained,
        params_backbone=setup.model.n_pretrained,
        fit_s=fitted.fit_s,
        score_s=score_s,
        peak_memory_mib=account.peak_memory_mib,
        data_wait_s=fitted.data_wait_s,
        energy_j=account.energy_j,
        delta_mib=(place.folder / DELTA_FILE).stat().st_size / 2**20,
        gpu_busy_frac=gpu_busy_frac,
        compile_s=account.compile_s if place.means.compiled else None,
    )
    draft.keep(cost=costs)
    recorder.begin(MEASURE)
    measured = measure.measure(
        setup.model,
        lambda: build_step(setup.model, spec.own_protocol.train, setup.build_own_fabric()),
        next(iter(setup.data.draw_epoch(0))),
        setup.predictor.part_of(setup.fold.val[0].image()),
        measure.limit_repeats(fitted.fit_s + fitted.data_wait_s + score_s),
    )
    n_volumes = len({row.case for row in draft.record.cases})
    compute = passes.add_volumes(measured.compute, n_volumes)
    recorder.clock.tick(MEASURE)
    complete = replace(costs, **(vars(measured) | {"compute": compute}))
    if place.means.compiled:
        complete = replace(complete, compile_s=account.compile_s)
    draft.keep(cost=replace(complete, phases=recorder.clock.recorded))


def _fit(setup: Setup, place: Place, draft: Draft) -> Fit:
    """Train; where that diverges, keep the network of the epoch chosen before, and do not score."""
    try:
        return setup.fit()
    except DivergedError as error:
        if error.reached is not None:
            _choose(setup, place, error.reached, draft)
        raise


def _choose(setup: Setup, place: Place, fitted: Fit, draft: Draft) -> None:
    """Put the curve and the chosen weights on record."""
    draft.keep(curve=fitted.curve, best_epoch=fitted.best_epoch)
    info, run_id = setup.fold.info, setup.spec.run_id
    sha256 = write_delta(place.folder, setup.model, setup.spec, info)
    write_selection(place.folder, run_id, sha256, fitted.best_epoch, fitted.best_val_dice)
    draft.keep(chosen_sha256=sha256)


def _check_delta(setup: Setup, place: Place, draft: Draft) -> None:
    """Check that the chosen weights on disk give the trained network back."""
    info = setup.fold.info
    difference, largest = compare_reloaded(setup.model, place, len(info.channels), setup.execution)
    draft.keep(reload_max_abs_diff=difference)
    check_reloaded(difference, largest, setup.fabric.device)


def _score(setup: Setup, place: Place, draft: Draft, recorder: Recorder) -> tuple[float, PassCount]:
    """Open the held-out cases and score them; return the seconds, and the network's passes."""
    fold = setup.fold
    scoring = Scoring(fold.info, setup.spec.own_protocol.eval)
    cutoff = choose_cutoff(scoring, lambda: _score_inner(setup, scoring, recorder))
    draft.keep(empty_policy=scoring.policy_name)
    title = draft.record.label + (" (SYNTHETIC)" if fold.dataset.synthetic else "")
    cases = fold.held_out.open(draft.record.chosen_sha256)
    recorder.begin(SCORE, len(cases))

    def on_case(done: int, total: int) -> None:
        recorder.advance(Advance(SCORE, done, total))

    before_s = compile_s()
    with counted_passes(setup.model) as passes:
        predict = setup.inference.spread(cases)
        scored = score_held_out(predict, cases, scoring, place.folder, title, on_case)
    processed = cutoff.apply(scored.cases) if cutoff else None
    draft.keep(cases=scored.cases, postprocessing=processed)
    return scored.score_s - (compile_s() - before_s), passes


def _score_inner(setup: Setup, scoring: Scoring, recorder: Recorder) -> list[CaseScore]:
    """Return the scores of the inner validation cases that need no millimetres."""
    cases = setup.fold.val

    def on_case(done: int, prediction: np.ndarray) -> None:
        recorder.advance(Advance(VALIDATE, done, len(cases)))

    return score_cases(setup.inference.spread(cases), cases, scoring, on_case, in_mm=False)
