"""One run, from its spec to its result. A child process executes it; it does not know the grid."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace

from bench.cost import measure
from bench.cost.memory import peak_memory_mib
from bench.cost.timing import Energy, metered
from bench.cost.usage import record_usage
from bench.models.segmenter import Segmenter
from bench.run.delta_file import DELTA_FILE, write_delta
from bench.run.ending import DONE, ending_of
from bench.run.firewall import count_reads, write_selection
from bench.run.fold import Fold
from bench.run.provenance import describe_end, describe_machine, describe_request, describe_run
from bench.run.restore import check_reloaded, compare_reloaded
from bench.run.setup import Setup, set_up
from bench.run.training import Fit, build_step
from bench.scoring.cases import score_overlaps
from bench.scoring.held_out import Scored, score_held_out
from bench.scoring.metrics import Scoring
from bench.scoring.postprocessing import choose_cutoff
from bench.specs.run import Place, RunSpec
from reports.records.plain import to_plain
from reports.records.run import Cost, RunResult

Progress = Callable[
    [str, int, int], None
]  # phase ("fit" or "score"), how much is done, of how much


class Draft:
    """The record of a run that has not ended yet; a run that fails leaves it as it then is."""

    def __init__(self, record: RunResult) -> None:
        self.record = record

    def keep(self, record: RunResult) -> None:
        """Take a record with more in it.

        Raises: ValueError if it cannot be stored; the one before is kept.
        """
        to_plain(record, "result")
        self.record = record


def execute_run(spec: RunSpec, place: Place, on_progress: Progress) -> RunResult:
    """Carry out a run, write ``result.json`` into its folder and return it.

    However the run ends, all that was found before is recorded; `ending_of` says which endings
    there are.
    """
    started = time.perf_counter()
    place.folder.mkdir(parents=True, exist_ok=True)
    draft = Draft(describe_run(spec))
    ending = DONE
    try:
        with record_usage(place.folder, place.device):
            _train_and_score(spec, place, draft, on_progress)
    except Exception as error:  # the run's failure is its result; the grid goes on
        ending = ending_of(error, place.device)
    result = replace(
        draft.record,
        status=ending.status,
        reason=ending.reason,
        traceback=ending.traceback,
        provenance=draft.record.provenance | describe_end(started),
        test_reads=count_reads(place.folder),
    )
    result.write(place.folder)
    return result


def _train_and_score(spec: RunSpec, place: Place, draft: Draft, on_progress: Progress) -> None:
    machine = describe_machine(place) | describe_request(spec)
    draft.keep(replace(draft.record, provenance=machine))
    setup = set_up(
        spec,
        place,
        on_fold=lambda fold: _keep_fold(draft, spec, fold),
        on_plain=lambda model: _keep_weights(draft, model),
    )
    with metered(setup.fabric.device) as energy:
        fitted = setup.fit(on_progress)
    draft.keep(replace(draft.record, curve=fitted.curve, best_epoch=fitted.best_epoch))
    _choose(setup, place, fitted, draft)
    scored = _score(setup, place, draft, on_progress)
    costs = _sum_up_costs(setup, place, fitted, scored, energy)
    draft.keep(replace(draft.record, cost=costs))
    measured = measure.measure(
        setup.model,
        lambda: build_step(setup.model, spec.own_protocol.train, setup.fabric),
        next(iter(setup.data.draw_epoch(0))),
        lambda: setup.predict(setup.fold.val[0].image()),
    )
    draft.keep(replace(draft.record, cost=replace(costs, **vars(measured))))


def _keep_fold(draft: Draft, spec: RunSpec, fold: Fold) -> None:
    window = fold.info.window
    found = {"ct_window": asdict(window) if window else None}
    draft.keep(
        replace(
            draft.record,
            split_hash=fold.split_hash,
            data_fingerprint=spec.fingerprint,
            provenance=draft.record.provenance | found,
        )
    )


def _keep_weights(draft: Draft, model: Segmenter) -> None:
    loaded = model.backbone.loaded
    found = {"weights": asdict(loaded) if loaded else None}
    draft.keep(
        replace(
            draft.record,
            weights_sha256=loaded.sha256 if loaded else "",
            provenance=draft.record.provenance | found,
        )
    )


def _choose(setup: Setup, place: Place, fitted: Fit, draft: Draft) -> None:
    """Put the chosen weights on record, and check that they give the trained network back."""
    sha256 = write_delta(place.folder, setup.model, setup.spec, setup.fold.info)
    write_selection(
        place.folder, setup.spec.run_id, sha256, fitted.best_epoch, fitted.best_val_dice
    )
    draft.keep(replace(draft.record, chosen_sha256=sha256))
    n_channels = len(setup.fold.info.channels)
    difference, largest = compare_reloaded(setup.model, place, n_channels)
    draft.keep(replace(draft.record, reload_max_abs_diff=difference))
    check_reloaded(difference, largest, setup.fabric.device)


def _score(setup: Setup, place: Place, draft: Draft, on_progress: Progress) -> Scored:
    """Open the held-out cases and score them."""
    fold = setup.fold
    scoring = Scoring(fold.info, setup.spec.own_protocol.eval)
    cutoff = choose_cutoff(scoring, lambda: score_overlaps(setup.predict, fold.val, scoring))
    draft.keep(replace(draft.record, empty_policy=scoring.policy_name))
    title = draft.record.label + (" (SYNTHETIC)" if fold.dataset.synthetic else "")
    scored = score_held_out(
        setup.predict,
        fold.held_out.open(draft.record.chosen_sha256),
        scoring,
        place.folder,
        title,
        lambda done, total: on_progress("score", done, total),
    )
    processed = cutoff.apply(scored.cases) if cutoff else None
    draft.keep(replace(draft.record, cases=scored.cases, postprocessing=processed))
    return scored


def _sum_up_costs(setup: Setup, place: Place, fitted: Fit, scored: Scored, energy: Energy) -> Cost:
    counts = measure.count_parameters(setup.model)
    return Cost(
        params_total=counts.total,
        params_tuned=counts.tuned,
        params_decoder=counts.decoder,
        params_other=counts.other,
        params_tuned_frac=counts.tuned / setup.model.n_pretrained,
        fit_s=fitted.fit_s,
        score_s=scored.score_s,
        peak_memory_mib=peak_memory_mib(setup.fabric.device),
        data_wait_s=fitted.data_wait_s,
        energy_j=energy.joules,
        delta_mib=(place.folder / DELTA_FILE).stat().st_size / 2**20,
    )
