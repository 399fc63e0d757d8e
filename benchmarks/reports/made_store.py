"""A store with many runs in seconds: made from a formula, nothing is measured."""

import sqlite3
import uuid
from contextlib import closing
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import numpy as np

from bench.tracking import results as shown
from bench.tracking.store import open_store
from reports.records import cost as costs
from reports.records import run as records
from reports.records.run import CaseScore, EpochRecord, RunResult

REGIONS = {"brats": ("WT", "TC", "ET"), "kits": ("kidney", "tumour"), "lits": ("liver", "tumour")}
METHODS = ("full", "linear", "vpt_deep", "lora", "adaptformer", "med_adapter")


def make_runs(n_runs: int) -> list[RunResult]:
    """Return runs of data sets x weights x folds x seeds x methods, cut off at ``n_runs``."""
    cells = product(REGIONS, ("none", "in21k"), range(5), range(6), METHODS)
    return [make_run(*cell) for cell in islice(cells, n_runs)]


def make_run(dataset: str, weights: str, fold: int, seed: int, method: str) -> RunResult:
    """Return a finished run of 20 cases whose scores follow from its arguments alone."""
    rng = np.random.default_rng([fold, seed, METHODS.index(method), len(weights)])
    cases = draw_cases(rng, dataset, fold, 20)
    curve = tuple(EpochRecord(epoch, 1 / (epoch + 1), 1e-3, 0.1 * epoch) for epoch in range(5))
    data, train = {"patch": [16, 64, 64]}, {"lr": 0.001, "epochs": 5}
    return RunResult(
        run_id=f"made-{dataset}-{method}-{weights}-f{fold}-s{seed}",
        status=records.Status.DONE,
        reason="",
        method=method,
        settings={},
        label=method,
        dataset=dataset,
        backbone="tiny_vit",
        weights=weights,
        fold=fold,
        seed=seed,
        protocol_id=f"{dataset}-{weights}",
        protocol={"data": data, "model": {"weights": weights}, "train": train},
        synthetic=True,
        regions=REGIONS[dataset],
        cases=cases,
        curve=curve,
        best_epoch=4,
        cost=make_cost(10_000 * METHODS.index(method)),
        provenance={"git_commit": "made", "device": "cpu", "packages": {"torch": "made"}},
    )


def make_large(n_cases: int, n_methods: int) -> list[RunResult]:
    """Return one run of each of ``n_methods`` settings of methods on ``n_cases`` cases."""
    results = []
    for number in range(n_methods):
        method = METHODS[number % len(METHODS)]
        label = method if number < len(METHODS) else f"{method}[rank={number}]"
        run = make_run("brats", "none", 0, 0, method)
        cases = draw_cases(np.random.default_rng(number), "brats", 0, n_cases)
        made = replace(run, run_id=f"made-{number}", label=label, cases=cases)
        results.append(made)
    return results


def draw_cases(
    rng: np.random.Generator, dataset: str, fold: int, n_cases: int
) -> tuple[CaseScore, ...]:
    """Return the scores of some cases of a fold."""
    cases = []
    for number, region in product(range(n_cases), REGIONS[dataset]):
        dice = float(rng.uniform(0.5, 0.9))
        case = f"{dataset}_{fold}_{number:02d}"
        hd95_mm = 30 * (1 - dice)
        cases.append(CaseScore(case, region, dice, hd95_mm, 4000, 3900, 3000, dice, 1, 4, 3.9))
    return tuple(cases)


def make_cost(n_tuned: int) -> costs.Cost:
    return costs.Cost(
        params_total=1_531_000,
        params_tuned=n_tuned,
        params_decoder=300_000,
        params_tuned_frac=n_tuned / 1_231_000,
        fit_s=40.0,
        score_s=3.0,
        peak_memory_mib=500.0,
        compute=costs.Compute(6.4, 12.2),
        memory=costs.Memory(6.0, 2.0, 4.0, 120.0),
        train_step=costs.Timing(0.08, 0.004, 20),
        inference=costs.Timing(0.5, 0.01, 5),
        delta_mib=1.2,
    )


def fill_store(folder: Path, results: list[RunResult]) -> None:
    """Write runs as `Store.log_result` does, but row by row: MLflow itself takes minutes."""
    store = open_store(f"sqlite:///{folder}/mlflow.db")
    places = {name: store.find_experiment(name) for name in {result.dataset for result in results}}
    template = store.client.create_run(places[results[0].dataset]).info.run_id
    store.client.set_terminated(template)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.row_factory = sqlite3.Row
        row = database.execute("select * from runs where run_uuid = ?", (template,)).fetchone()
        hide = "update runs set lifecycle_stage = 'deleted' where run_uuid = ?"
        database.execute(hide, (template,))
        for result in results:
            own = uuid.uuid4().hex
            artifacts = folder / "mlruns" / result.dataset / own / "artifacts"
            artifacts.mkdir(parents=True)
            (artifacts / records.RESULT_FILE).write_text(result.to_json(), encoding="utf-8")
            ids = {"run_uuid": own, "experiment_id": places[result.dataset]}
            run = dict(row) | ids | {"artifact_uri": artifacts.as_uri()}
            last = {key: (key, value, 0, step) for key, value, step in shown.metrics(result)}
            insert(database, "runs", [tuple(run.values())])
            insert(database, "tags", [(*item, own) for item in shown.tags(result).items()])
            insert(database, "params", [(*item, own) for item in shown.params(result).items()])
            insert(database, "latest_metrics", [(*item, False, own) for item in last.values()])


def insert(database: sqlite3.Connection, table: str, rows: list[tuple[object, ...]]) -> None:
    database.executemany(f"insert into {table} values ({', '.join('?' * len(rows[0]))})", rows)
