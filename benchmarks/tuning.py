"""What pruning saves, and what a second worker gains, on studies of the demo's phantoms.

    python -m benchmarks.tuning pruning [--trials 12] [--epochs 10] [--val-every 2] [--method lora]
    python -m benchmarks.tuning workers [--trials 8]

``pruning`` makes a study without and one with the median pruner, at the same time, one core each,
with the same seed and budget; it prints the best inner Dice of both and the seconds of fit, and
compares the epochs that were trained, which do not depend on what else the machine does.
``workers`` gives the same study to one process and to two; it prints the time from the first
trial's start to the last one's end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench.tuning.study import open_storage
from datasets.phantoms.write import write_phantoms
from reports.records.study import STUDY_FILE, TUNING, StudyRecord, read_study

ROOT = Path(__file__).resolve().parent.parent
N_CASES, SHAPE = 40, (32, 64, 64)  # as in the demo


def main() -> None:
    """Read the arguments and measure in a folder that is removed afterwards."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("pruning", "workers"))
    parser.add_argument("--method", default="lora")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=10, help="of a trial")
    parser.add_argument("--val-every", type=int, default=2, help="epochs between inner validations")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "brats")
        write_phantoms("brats", root, N_CASES, shape=SHAPE)
        compare = compare_pruning if arguments.what == "pruning" else compare_workers
        compare(Path(scratch), root, arguments)


def compare_pruning(scratch: Path, root: Path, arguments: argparse.Namespace) -> None:
    """Print what a study with pruning found and took, and one without."""
    studies = {
        pruner: start(scratch / pruner, root, arguments, pruner) for pruner in ("none", "median")
    }
    records = {}
    for pruner, process in studies.items():
        finish(process)
        record = records[pruner] = read_record(scratch / pruner)
        ends = Counter(trial.status for trial in record.trials)
        print(
            f"{pruner:6}  best inner Dice {record.best.dice:.4f}  fit {record.fit_s:6.0f} s  "
            f"validations {count_validations(scratch / pruner):3}  {dict(ends)}"
        )
    off, on = records["none"], records["median"]
    saved = 1 - count_validations(scratch / "median") / count_validations(scratch / "none")
    print(
        f"pruning: best {on.best.dice - off.best.dice:+.4f} Dice, {1 - on.fit_s / off.fit_s:.0%} less fit time,"
    )
    print(f"         {saved:.0%} fewer epochs trained")


def compare_workers(scratch: Path, root: Path, arguments: argparse.Namespace) -> None:
    """Print how long one worker takes for a study, and two for the same study."""
    spans = {}
    for n_workers in (1, 2):
        folder = scratch / f"workers-{n_workers}"
        for process in [start(folder, root, arguments, "none") for _ in range(n_workers)]:
            finish(process)
        trials = load_trials(folder)
        begun, ended = (
            min(trial.datetime_start for trial in trials),
            max(trial.datetime_complete for trial in trials),
        )
        spans[n_workers] = (ended - begun).total_seconds()
        n_owners = len({tuple(trial.user_attrs["owner"]) for trial in trials})
        numbers = sorted(trial.number for trial in trials)
        assert numbers == list(range(arguments.trials)), (
            f"the budget must be met exactly, got {numbers}"
        )
        print(
            f"{n_workers} worker(s): {len(trials)} trials by {n_owners} processes in {spans[n_workers]:.0f} s"
        )
    print(
        f"two workers need {spans[2] / spans[1]:.2f} of the time of one ({spans[1] / spans[2]:.2f} times as fast)"
    )


def start(
    folder: Path, root: Path, arguments: argparse.Namespace, pruner: str
) -> subprocess.Popen[str]:
    """Start a process that works on the study in ``folder``, one trial at a time."""
    folder.mkdir(exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "bench",
        "tune",
        "--methods",
        arguments.method,
        "--preset",
        "demo",
    ]
    command += [
        "--jobs",
        str(os.cpu_count() or 1),
    ]  # one thread each; a process works on a study trial by trial
    command += ["--data-root", str(root), "--trials", str(arguments.trials), "--pruner", pruner]
    command += [
        "--trial-epochs",
        str(arguments.epochs),
        "--set",
        f"train.val_every={arguments.val_every}",
    ]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a worker; what it has printed is shown if it fails."""
    printed = process.communicate()[0]
    if process.returncode:
        sys.exit(printed)


def read_record(folder: Path) -> StudyRecord:
    """Return the one study below a folder."""
    (file,) = (folder / "results" / TUNING).glob(f"*/{STUDY_FILE}")
    return read_study(file)


def load_trials(folder: Path) -> list:
    """Return Optuna's trials of the one study below a folder."""
    import optuna

    storage = open_storage(f"sqlite:///{folder}/results/{TUNING}/optuna.db")
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).trials


def count_validations(folder: Path) -> int:
    """Return how often the trials of a study were validated; epochs between two validations are equally many."""
    return sum(len(trial.intermediate_values) for trial in load_trials(folder))


if __name__ == "__main__":
    main()
