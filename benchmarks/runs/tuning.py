"""What pruning saves, and what a second worker gains, on studies of the demo's phantoms.

    python -m benchmarks.runs.tuning pruning [--trials 12] [--epochs 10] [--val-every 2]
        [--method lora]
    python -m benchmarks.runs.tuning workers [--trials 8]

``pruning`` makes a study without and one with the median pruner, at the same time, one core each,
with the same seed and budget; the epochs that they train do not depend on what else the machine
does. ``workers`` gives the same study to one process and to two, and takes the time from the first
trial's start to the last one's end.
"""

import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections import Counter
from pathlib import Path

import optuna

from bench.tuning.study import open_storage
from datasets.phantoms.write import write_phantoms
from reports.records.study import STUDY_FILE, TUNING, StudyRecord, read_study

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pruning", "workers"))
    parser.add_argument("--method", default="lora")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=10, help="of a trial")
    parser.add_argument("--val-every", type=int, default=2, help="epochs between inner validations")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "brats")
        write_phantoms("brats", root, 40, shape=(32, 64, 64))  # as in the demo
        compare = compare_pruning if arguments.what == "pruning" else compare_workers
        compare(Path(scratch), root, arguments)


def compare_pruning(scratch: Path, root: Path, arguments: Namespace) -> None:
    workers = {name: start(scratch / name, root, arguments, name) for name in ("none", "median")}
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
    command = [sys.executable, "-m", "bench", "tune", "--methods", arguments.method]
    command += ["--preset", "demo", "--data-root", str(root), "--pruner", pruner]
    command += ["--jobs", str(os.cpu_count() or 1)]  # one thread each
    command += ["--trials", str(arguments.trials), "--trial-epochs", str(arguments.epochs)]
    command += ["--set", f"train.val_every={arguments.val_every}"]
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=os.environ | own, **streams)


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a worker; if it fails, end with its output."""
    printed = process.communicate()[0]
    if process.returncode:
        sys.exit(printed)


def read_record(folder: Path) -> StudyRecord:
    (file,) = (folder / "results" / TUNING).glob(f"*/{STUDY_FILE}")
    return read_study(file)


def load_trials(folder: Path) -> list:
    """Return Optuna's trials of the one study below a folder."""
    storage = open_storage(f"sqlite:///{folder}/results/{TUNING}/optuna.db")
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).trials


if __name__ == "__main__":
    main()
