"""SIGKILL at random moments, over five kinds of commands, and what it costs: nothing.

    python -m benchmarks.runs.kill [--kills 200] [--only run,tune,report,sync,data]

Each command is started again and again in one folder and killed after a random part of the time
that it takes undisturbed. After each kill: no process of it is alive, every file can be read, every
result and every trial that had ended is as it was. After the last kill the command is let to its
end, and what it has made is compared, bit for bit, with what an undisturbed command has made.
"""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.specs.run import RUNS
from datasets.phantoms.write import write_phantoms
from reports.analysis.comparison import compare_methods
from reports.formats.markdown import format_markdown
from reports.records.run import RESULT_FILE, read_result
from reports.records.study import STUDY_FILE, read_study
from reports.tables.kinds.main import main_tables

ROOT = Path(__file__).resolve().parents[2]
MARK = "MEDTUNING_KILL"  # in the environment of every process of a command
PATIENCE_S = 20.0  # for the processes of a killed command to end
SHARES = {"run": 0.2, "tune": 0.15, "report": 0.2, "sync": 0.2, "data": 0.25}  # of the kills
TINY = (
    *("--data-root", "../brats", "--preset", "demo", "--epochs", "1", "--max-steps", "2"),
    *("--set", "data.patches_per_epoch=2", "--set", "data.patch=8,32,32", "--jobs", "2"),
)
RUN = ("-m", "bench", "run", "--methods", "linear,lora", *TINY)
TUNE = ("-m", "bench", "tune", "--methods", "linear", "--trials", "3", *TINY)
REPORT = ("-m", "bench", "report", "--format", "html", "--out", "page.html")
PREPARE = """
from pathlib import Path
import datasets
from bench.cli.app import main
from datasets.prepared.prepare import prepare

if __name__ == "__main__":
    assert main(["data", "demo", "--cases", "12", "--out", "made"]) == 0
    dataset = datasets.build("brats", Path("made"))
    prepare(dataset, dataset.find_labelled(), Path("cache"), jobs=2)
"""


@dataclass(frozen=True)
class Job:
    """A command that is killed, and what it makes.

    Attributes:
        arguments: of Python.
        snapshot: returns what must not depend on kills, of a folder in which it has ended.
        made: names of what it makes in its folder.
    """

    name: str
    arguments: tuple[str, ...]
    snapshot: Callable[[Path], object]
    made: tuple[str, ...]


@dataclass
class Tally:
    """What has happened to a job."""

    kills: int = 0
    completions: int = 0
    problems: list[str] = field(default_factory=list)
    kept: dict[Path, bytes] = field(default_factory=dict)  # results that must stay


def list_jobs() -> list[Job]:
    """Return the five kinds of commands."""
    made_by_run = ("results", "mlflow.db", "mlruns")
    return [
        Job("run", RUN, snapshot_runs, made_by_run),
        Job("tune", TUNE, snapshot_study, made_by_run),
        Job("report", REPORT, lambda folder: hash_file(folder / "page.html"), ("page.html",)),
        Job("sync", ("-m", "bench", "sync"), snapshot_store, made_by_run[1:]),
        Job("data", ("prepare.py",), snapshot_data, ("made", "cache")),
    ]


def snapshot_runs(folder: Path) -> object:
    """Return the results without times and machine, the table of them, and the store."""
    results = []
    for file in sorted((folder / "results" / RUNS).glob(f"*/{RESULT_FILE}")):
        result = read_result(file.parent)
        assert result is not None
        results.append(replace(result, cost=None, provenance={}, test_reads=0, interruptions=0))
    tables = [format_markdown(table) for table in main_tables(compare_methods(results))]
    return [result.to_json() for result in results], tables, snapshot_store(folder)


def snapshot_study(folder: Path) -> object:
    """Return the trials of the one study without their times."""
    (file,) = (folder / "results" / "tuning").glob(f"*/{STUDY_FILE}")
    return [replace(trial, fit_s=0.0) for trial in read_study(file).trials]


def snapshot_store(folder: Path) -> object:
    """Return which results the store holds, and MLflow's status of each."""
    query = (
        "select value, status from runs join tags using (run_uuid)"
        " where key = 'run_id' and lifecycle_stage = 'active'"
    )
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        return sorted(store.execute(query).fetchall())


def snapshot_data(folder: Path) -> object:
    """Return the hash of every file of data but of records, which name the folder and times."""
    found = {}
    for name in ("made", "cache"):
        for file in sorted((folder / name).rglob("*")):
            if file.is_file() and ".locks" not in file.parts and file.suffix != ".json":
                place = re.sub(r"-[0-9a-f]{12}/", "/", str(file.relative_to(folder)))
                found[place] = hash_file(file)
    return found


def hash_file(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def start(job: Job, folder: Path) -> subprocess.Popen[bytes]:
    """Start a command in a folder."""
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    own |= {MARK: str(folder), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *job.arguments], cwd=folder, env=os.environ | own, stdout=log,
            stderr=log,
        )  # fmt: skip


def list_processes(folder: Path) -> list[int]:
    """Return the living processes of the commands in a folder."""
    found = []
    mark = f"{MARK}={folder}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue  # it has ended meanwhile, or belongs to somebody else
    return found


def find_orphans(folder: Path) -> list[int]:
    """Return the processes that are still alive some time after a kill."""
    deadline = time.monotonic() + PATIENCE_S
    while (alive := list_processes(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def check_files(folder: Path, kept: dict[Path, bytes]) -> list[str]:
    """Return what is wrong with the files; results that have ended are added to ``kept``."""
    problems = []
    for file in (folder / "results").rglob("*.json"):
        try:
            json.loads(file.read_bytes())
        except ValueError as error:
            problems.append(f"{file}: {error}")
    for file in (*folder.glob("*.db"), *(folder / "results").rglob("*.db")):
        with closing(sqlite3.connect(file)) as database:
            (found,) = database.execute("pragma integrity_check").fetchone()
        if found != "ok":
            problems.append(f"{file}: {found}")
    for file, content in kept.items():
        if not file.is_file() or file.read_bytes() != content:
            problems.append(f"{file}: lost or changed")
    for file in (folder / "results" / RUNS).glob(f"*/{RESULT_FILE}"):
        kept.setdefault(file, file.read_bytes())
    return problems


def clear(job: Job, folder: Path) -> None:
    """Remove what a command has made."""
    for name in job.made:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def kill_often(job: Job, folder: Path, kills: int, expected: object, takes_s: float) -> Tally:
    """Kill a command so many times, let it end, and return what was found."""
    rng = random.Random(f"{job.name} {kills}")
    tally = Tally()
    while tally.kills < kills:
        begun = time.monotonic()
        process = start(job, folder)
        try:
            code = process.wait(rng.uniform(0, takes_s))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            tally.kills += 1
            for pid in find_orphans(folder):
                tally.problems.append(f"orphan {pid}")
            tally.problems += check_files(folder, tally.kept)
            continue
        tally.problems += check_end(job, folder, code, expected)
        tally.completions += 1
        takes_s = min(takes_s, time.monotonic() - begun)  # the machine may have been busy before
        clear(job, folder)
        tally.kept.clear()
    tally.problems += check_end(job, folder, start(job, folder).wait(), expected)
    return tally


def check_end(job: Job, folder: Path, code: int, expected: object) -> list[str]:
    """Return what is wrong after a command that was let to its end."""
    if code:
        return [f"exit code {code}: {(folder / 'log').read_text(encoding='utf-8')[-2000:]}"]
    return [] if job.snapshot(folder) == expected else ["what was made differs"]


def set_up(scratch: Path) -> dict[str, tuple[object, float]]:
    """Fill a folder a job; return what each makes undisturbed, and how long that takes."""
    write_phantoms("brats", scratch / "brats", 6, shape=(16, 32, 32))
    expected = {}
    for job in list_jobs():
        folder = scratch / job.name
        folder.mkdir()
        (folder / "prepare.py").write_text(PREPARE, encoding="utf-8")
        if job.name in ("report", "sync"):
            for name in list_jobs()[0].made:
                source = scratch / "run" / name
                copy = shutil.copytree if source.is_dir() else shutil.copy
                copy(source, folder / name)
        clear(job, folder)
        if job.name == "report":  # the addresses of artifacts are those of the other folder
            assert start(list_jobs()[3], folder).wait() == 0
        begun = time.monotonic()
        code = start(job, folder).wait()
        assert not code, (folder / "log").read_text(encoding="utf-8")
        expected[job.name] = job.snapshot(folder), time.monotonic() - begun
    for job in list_jobs():
        clear(job, scratch / job.name)
    return expected


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--only", default=",".join(SHARES))
    arguments = parser.parse_args()
    failed = False
    total = 0
    with tempfile.TemporaryDirectory() as scratch:
        expected = set_up(Path(scratch))
        for job in list_jobs():
            if job.name not in arguments.only.split(","):
                continue
            kills = round(arguments.kills * SHARES[job.name])
            tally = kill_often(job, Path(scratch, job.name), kills, *expected[job.name])
            total += tally.kills
            failed |= bool(tally.problems)
            found = f"{len(tally.problems)} problems, {tally.completions + 1} times to the end"
            print(f"{job.name:7} {tally.kills:4} kills, {found}", flush=True)
            for problem in tally.problems:
                print(f"  {problem}", flush=True)
    verdict = "PROBLEMS" if failed else "no corrupt file, no orphan, nothing lost, all equal"
    print(f"{total} kills: {verdict}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
