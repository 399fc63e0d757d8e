"""One run, from its spec to its result. This is what a child process executes; nothing in here knows the grid."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import torch

import methods
from bench.cost import measure
from bench.cost.memory import describe_out_of_memory, is_out_of_memory, peak_memory_mib
from bench.cost.timing import metered
from bench.cost.usage import record_usage
from bench.run.delta_file import DELTA_FILE, write_delta
from bench.run.firewall import count_reads, write_selection
from bench.run.fold import build_training_data, load_fold
from bench.run.inference import build_predictor
from bench.run.network import build_fabric, build_model, execute_as, put_method
from bench.run.provenance import describe_end, describe_machine, describe_request, describe_run
from bench.run.restore import check_reloaded, compare_reloaded
from bench.run.training import DivergedError, build_step, fit
from bench.scoring.cases import score_overlaps
from bench.scoring.held_out import score_held_out
from bench.scoring.metrics import Scoring
from bench.scoring.postprocessing import choose_cutoff
from bench.specs.run import Place, RunSpec
from methods.base import Method, MissingRole
from reports.records.run import Cost, RunResult, Status, to_plain

Progress = Callable[
    [str, int, int], None
]  # phase ("fit" or "score"), how much is done, of how much
Facts = dict[str, Any]  # fields of a `RunResult`


def run_trial(spec: RunSpec, place: Place, on_progress: Progress) -> RunResult:
    """Carry out a run, write ``result.json`` into its folder and return it.

    Whatever happens is recorded, with all that was found out before: a method that the backbone
    cannot host ends ``skipped``, a loss that is no number ``diverged``, too little memory ``oom``,
    any other exception ``failed``; the last two keep their traceback.
    """
    started = time.perf_counter()
    place.folder.mkdir(parents=True, exist_ok=True)
    method = methods.build(spec.method.name, dict(spec.method.settings))
    facts = describe_run(spec, method)
    ending: Facts = {"status": Status.DONE, "reason": ""}
    try:
        with record_usage(place.folder, place.device):
            for found in _carry_out(spec, method, place, on_progress):
                to_plain(
                    found, "result"
                )  # what cannot be stored ends the run here, and the rest is kept
                facts |= found
    except MissingRole as error:
        ending = {"status": Status.SKIPPED, "reason": str(error)}
    except DivergedError as error:
        ending = {"status": Status.DIVERGED, "reason": str(error)}
    except Exception as error:  # the run's failure is its result; the grid goes on
        status, reason = Status.FAILED, f"{type(error).__name__}: {error}"
        if is_out_of_memory(error):
            status, reason = Status.OOM, describe_out_of_memory(error, place.device)
        ending = {"status": status, "reason": reason, "traceback": traceback.format_exc()}
    facts["provenance"] = facts.get("provenance", {}) | describe_end(started)
    result = RunResult(**facts | ending, test_reads=count_reads(place.folder))
    result.write(place.folder)
    return result


def _carry_out(
    spec: RunSpec, method: Method, place: Place, on_progress: Progress
) -> Iterator[Facts]:
    """Yield what becomes known of a run, phase after phase."""
    machine = describe_machine(place) | describe_request(spec)
    yield {"provenance": machine}
    torch.set_num_threads(place.threads)
    protocol = spec.own_protocol
    fabric = build_fabric(place.device, protocol.train.precision)

    fold = load_fold(spec, place.cache, place.folder)
    info = fold.info
    machine |= {"ct_window": asdict(info.window) if info.window else None}
    yield {"split_hash": fold.split_hash, "data_fingerprint": spec.fingerprint}

    model = build_model(spec, len(info.channels), len(info.classes))
    pretrained = measure.count_parameters(model).backbone
    loaded = model.backbone.loaded
    yield {"provenance": machine | {"weights": asdict(loaded) if loaded else None}}
    yield {"weights_sha256": loaded.sha256 if loaded else ""}
    put_method(model, spec, method)
    execute_as(model, place)
    counts = measure.count_parameters(model)

    torch.manual_seed(spec.seeds["train"])
    predict = build_predictor(model, protocol.data.patch, protocol.eval, fabric)
    data = build_training_data(spec, fold.train, fold.val, fold.dataset, predict)
    with metered(fabric.device) as energy:
        fitted = fit(model, data, protocol.train, fabric, on_progress)
    yield {"curve": fitted.curve, "best_epoch": fitted.best_epoch}

    chosen_sha256 = write_delta(place.folder, model, spec, info)
    write_selection(
        place.folder, spec.run_id, chosen_sha256, fitted.best_epoch, fitted.best_val_dice
    )
    yield {"chosen_sha256": chosen_sha256}
    difference, largest = compare_reloaded(model, place, len(info.channels))
    yield {"reload_max_abs_diff": difference}
    check_reloaded(difference, largest, fabric.device)

    scoring = Scoring(info, protocol.eval)
    cutoff = choose_cutoff(scoring, lambda: score_overlaps(predict, fold.val, scoring))
    yield {"empty_policy": scoring.policy_name}
    cases = fold.held_out.open(chosen_sha256)
    scored = score_held_out(
        predict,
        cases,
        scoring,
        place.folder,
        f"{methods.label(method)}{' (SYNTHETIC)' if fold.dataset.synthetic else ''}",
        lambda done, total: on_progress("score", done, total),
    )
    yield {"cases": scored.cases, "postprocessing": cutoff.apply(scored.cases) if cutoff else None}
    costs = Cost(
        params_total=counts.total,
        params_tuned=counts.tuned,
        params_decoder=counts.decoder,
        params_other=counts.other,
        params_tuned_frac=counts.tuned / pretrained,
        fit_s=fitted.fit_s,
        score_s=scored.score_s,
        peak_memory_mib=peak_memory_mib(fabric.device),
        data_wait_s=fitted.data_wait_s,
        energy_j=energy.joules,
        delta_mib=(place.folder / DELTA_FILE).stat().st_size / 2**20,
    )
    yield {"cost": costs}
    measured = measure.measure(
        model,
        lambda: build_step(model, protocol.train, fabric),
        next(iter(data.draw_epoch(0))),
        lambda: predict(fold.val[0].image()),
    )
    yield {"cost": replace(costs, **vars(measured))}
