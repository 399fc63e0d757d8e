"""optuna-dashboard, which is an optional extra, on the storages that studies are kept in."""

import io
import json
from dataclasses import replace

import pytest

from bench.specs.protocol import Protocol, TuneSpec
from bench.specs.run import MethodSpec, RunSpec
from bench.tuning.plan import StudyPlan
from bench.tuning.space import Dimension
from bench.tuning.study import open_storage, open_study
from bench.tuning.worker import tune
from reports.records.run import Status

SPACE = (Dimension("train.lr", 1e-3, (), 1e-5, 1.0, log=True),)


@pytest.mark.parametrize("uri", ["sqlite:///{}/optuna.db", "journal:{}/optuna.journal"])
def test_the_dashboard_shows_every_study_with_its_trials(uri, tmp_path):
    dashboard = pytest.importorskip(
        "optuna_dashboard", reason="the extra 'dashboard' is not installed"
    )
    storage = open_storage(uri.format(tmp_path))
    protocol = Protocol(tune=TuneSpec(trials=2))
    run = RunSpec(MethodSpec("lora"), "brats", "abc", 0, 0, protocol, tmp_path)
    plan = StudyPlan("brats-lora", run, SPACE, tmp_path)
    endings = iter(
        [{"status": Status.DONE, "dice": 0.5}, {"status": Status.OOM, "reason": "8 GiB"}]
    )
    tune(open_study(storage, plan), plan, lambda trial, report: replace(trial, **next(endings)))

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
