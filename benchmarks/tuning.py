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

import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections import Counter
from pathlib import Path

from bench.tuning.study import open_storage
from datasets.phantoms.write import write_phantoms
from reports.records.study import STUDY_FILE, TUNING, StudyRecord, read_study

ROOT = Path(__file__).resolve().parent.parent
N_CASES, SHAPE = 40, (32, 64, 64)  # as in the demo


def main() -> None:
    """Read the arguments and measure in a folder that is removed afterwards."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
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


def compare_pruning(scratch: Path, root: Path, arguments: Namespace) -> None:
    """Print what a study with pruning found and took, and one without."""
    workers = {}
    for pruner in ("none", "median"):
        workers[pruner] = start(scratch / pruner, root, arguments, pruner)
    records, validations = {}, {}
    for pruner, process in workers.items():
        finish(process)
        record = records[pruner] = read_record(scratch / pruner)
        # as many epochs between any two of them
        validations[pruner] = sum(len(t.intermediate_values) for t in load_trials(scratch / pruner))
        found = f"best inner Dice {record.best.dice:.4f}  fit {record.fit_s:6.0f} s"
        ends = dict(Counter(trial.status for trial in record.trials))
        print(f"{pruner:6}  {found}  validations {validations[pruner]:3}  {ends}")
    gain = records["median"].best.dice - records["none"].best.dice
    fit_s = records["median"].fit_s / records["none"].fit_s
    print(f"pruning: best {gain:+.4f} Dice, {1 - fit_s:.0%} less fit time,")
    print(f"         {1 - validations['median'] / validations['none']:.0%} fewer epochs trained")


def compare_workers(scratch: Path, root: Path, arguments: Namespace) -> None:
    """Print how long one worker takes for a study, and two for the same study."""
    spans = []
    for n_workers in (1, 2):
        folder = scratch / f"workers-{n_workers}"
        for process in [start(folder, root, arguments, "none") for _ in range(n_workers)]:
            finish(process)
        trials = load_trials(folder)
        numbers = sorted(trial.number for trial in trials)
        assert numbers == list(range(arguments.trials)), f"the budget is not met: {numbers}"
        begun = min(trial.datetime_start for trial in trials)
        ended = max(trial.datetime_complete for trial in trials)
        spans.append((ended - begun).total_seconds())
        n_owners = len({tuple(trial.user_attrs["owner"]) for trial in trials})
        done = f"{len(trials)} trials by {n_owners} processes in {spans[-1]:.0f} s"
        print(f"{n_workers} worker(s): {done}")
    share = spans[1] / spans[0]
    print(f"two workers need {share:.2f} of the time of one ({1 / share:.2f} times as fast)")


def start(folder: Path, root: Path, arguments: Namespace, pruner: str) -> subprocess.Popen[str]:
    """Start a process that works on the study in ``folder``, one trial at a time."""
    folder.mkdir(exist_ok=True)
    options = {
        "--methods": arguments.method,
        "--preset": "demo",
        "--jobs": os.cpu_count() or 1,  # one thread each
        "--data-root": root,
        "--trials": arguments.trials,
        "--pruner": pruner,
        "--trial-epochs": arguments.epochs,
        "--set": f"train.val_every={arguments.val_every}",
    }
    command = [sys.executable, "-m", "bench", "tune"]
    for name, value in options.items():
        command += [name, str(value)]
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | own, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a worker; if it fails, end with its output."""
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


if __name__ == "__main__":
    main()
