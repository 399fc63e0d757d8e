"""optuna-dashboard, which is an optional extra, on the storages that studies are kept in."""

import io
import json

import pytest

from bench.specs.protocol import TuneSpec
from bench.tuning.space import Dimension
from bench.tuning.study import StudySpec, open_storage, open_study
from bench.tuning.worker import Outcome, tune
from reports.records.run import Status

SPACE = (Dimension("train.lr", 1e-3, (), 1e-5, 1.0, log=True),)


@pytest.mark.parametrize("uri", ["sqlite:///{}/optuna.db", "journal:{}/optuna.journal"])
def test_the_dashboard_shows_every_study_with_its_trials(uri, tmp_path):
    dashboard = pytest.importorskip(
        "optuna_dashboard", reason="the extra 'dashboard' is not installed"
    )
    storage = open_storage(uri.format(tmp_path))
    spec = StudySpec("brats-lora", SPACE, TuneSpec(trials=2), {"train": {"lr": 1e-3}})
    outcomes = iter(
        [Outcome(Status.DONE, 0.5, 100, 1.0), Outcome(Status.OOM, float("nan"), 0, 1.0, "8 GiB")]
    )
    tune(
        open_study(storage, spec),
        spec,
        lambda number, values, report: next(outcomes),
        tmp_path / "lock",
    )

    app = dashboard.wsgi(storage)
    (summary,) = ask(app, "/api/studies")["study_summaries"]
    assert summary["study_name"] == "brats-lora"
    trials = ask(app, f"/api/studies/{summary['study_id']}")["trials"]
    assert [trial["state"] for trial in trials] == ["Complete", "Pruned"]
    told = {item["key"]: item["value"] for item in trials[1]["user_attrs"]}
    assert "oom" in told["status"]


def ask(app, path):
    """Return the JSON that a WSGI application answers to a GET request."""
    statuses = []
    environment = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
    }
    body = b"".join(app(environment, lambda status, headers, trouble=None: statuses.append(status)))
    assert statuses == ["200 OK"], body
    return json.loads(body)
