"""Bad input to `tune` and `run --tune` is one sentence, before any data are read."""

import pytest

from bench.cli.app import main
from bench.cli.options import Request
from bench.cli.request import read_request


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["tune", "--methods", "lora", "--search", "lora.rnk=2..64"],
            "--search: lora has no setting 'rnk' (did you",
        ),
        (
            ["tune", "--methods", "lora", "--search", "lroa.rank=2..64"],
            "--search: unknown dimension 'lroa.rank=2..64'",
        ),
        (
            ["tune", "--methods", "lora", "--search", "lora.rank=0..64"],
            "--search: lora: rank must be >= 1, got 0",
        ),
        (
            ["tune", "--methods", "lora", "--search", "lora.rank=2..256"],
            "lora: rank must be <= 128, the width of block",
        ),
        (
            ["run", "--methods", "lora", "--tune", "2", "--search", "train.rl=1,2"],
            "unknown dimension 'train.rl'",
        ),
        (
            ["tune", "--methods", "lora", "--only", "train.rl"],
            "--only: unknown dimension 'train.rl' (did you mean 'train.lr'",
        ),
        (
            ["tune", "--methods", "lora,linear", "--only", "lora.rank"],
            "--only: linear has no dimension 'lora.rank'",
        ),
        (
            ["tune", "--trials", "2", "--budget", "1h"],
            "tune: --trials and --budget exclude each other",
        ),
        (
            ["tune", "--budget", "2 hours"],
            "--budget: must be a length of time such as 90s, 30m or 2h, got '2 hours'",
        ),
        (
            ["tune", "--sampler", "tpee"],
            "tune.sampler: must be one of tpe, gp, random, cmaes, qmc, got tpee",
        ),
        (
            ["tune", "--pruner", "hyperband"],
            "tune.pruner: must be one of median, wilcoxon, none, got hyperband",
        ),
        (
            ["tune", "--sampler", "cmaes", "--objectives", "dice,params"],
            "tune.sampler: cmaes must have one objective, got two (use tpe, gp, random or qmc)",
        ),
        (
            ["run", "--set", "train.method_lr=fll=1e-4"],
            "unknown method 'fll' (did you mean 'full'?)",
        ),
        (
            ["tune", "--objectives", "params"],
            "tune.objectives: must be dice or dice,params, got params",
        ),
        (
            ["run", "--tune", "2", "--tuned"],
            "run: --tune, --tuned and --settings exclude each other",
        ),
        (["run", "--search", "lora.rank=2..64"], "--search: does nothing without --tune"),
        (["run", "--only", "train.lr", "--tuned"], "--only: does nothing without --tune"),
        (["plan", "--storage", "serve"], "--storage: does nothing without --tune"),
        (["run", "--study", "a-"], "--study: does nothing without --tune or --tuned"),
        (["plan", "--trial-epochs", "2"], "--trial-epochs: does nothing without --tune"),
        (["run", "--tune-per-fold"], "--tune-per-fold: does nothing without --tune"),
        (["run", "--set", "tune.trials=3"], "--set: tune.trials=3 does nothing without --tune"),
        (
            ["run", "--set", "train.drop_path=half"],
            "train.drop_path: must be own or in [0, 1), got half",
        ),
        (
            ["run", "--settings", "no.toml"],
            "--settings no.toml: No such file or directory (must be",
        ),
        (["plan", "--settings", "/"], "--settings /: Is a directory (must be a file that"),
        (["tune", "--tune-seed", "-1"], "tune.seed: must be from 0 to 4294967295, got -1"),
        (["data", "demo", "--seed", "-1", "--out", "x"], "data demo: Invalid value for '--seed'"),
        (["tune", "--export-tuned", "/dev/null"], "/dev/null: must be a regular file or a new one"),
        (["report", "--kind", "tuning"], "report: the tracking store holds no tuning study"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments, sentence, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert {file.name for file in tmp_path.iterdir()} <= {"mlflow.db", "mlruns"}


@pytest.mark.parametrize(
    ("request_", "has_values"),
    [
        (Request(), True),
        (
            Request(set=["train.lr=0.01"]),
            False,
        ),  # another protocol than that which the values were found under
        (Request(set=["tune.trials=3"]), False),  # found now
        (Request(data_root=["."], preset="demo"), False),  # other data
    ],
)
def test_the_demos_own_values_are_for_its_own_protocol_alone(request_, has_values):
    assert (read_request(request_).tuned is not None) == has_values


@pytest.mark.parametrize(
    ("typed", "epochs"),
    [
        (["tune.trials=6"], 10),  # the demo's, so that it takes minutes
        (["tune.trials=6", "tune.epochs=4"], 4),
        (["tune.trials=6", "train.epochs=5"], 0),  # never more than those of a run
        ([], 0),
    ],
)
def test_the_demo_gives_a_trial_a_third_of_a_runs_epochs(typed, epochs):
    assert read_request(Request(methods="linear", set=typed)).protocol.tune.epochs == epochs
