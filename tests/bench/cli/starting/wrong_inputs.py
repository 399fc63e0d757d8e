"""Forty wrong inputs, each in a process of its own.

Started as a script, with a folder to work in, it prints a line of JSON for each. A command is
imported once for all its inputs, to save time; the processor time of this counts for each.
"""

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

LIGHT: list[tuple[list[str], str]] = [  # nothing heavy is needed to see what is wrong
    (["lst"], "No such command 'lst'. Did you mean 'list'?"),
    (["run", "--metods", "lora"], "run: No such option: --metods"),
    (["run", "--epochs", "many"], "run: Invalid value for '--epochs'"),
    (["run", "--jobs", "0"], "run: Invalid value for '--jobs'"),
    (["run", "--methods", "lroa"], "unknown method 'lroa' (did you mean 'lora'?)"),
    (["run", "--methods", "lora,,full"], "--methods: must be a comma-separated list"),
    (["run", "--methods", "lora[rank"], "--methods: cannot read 'lora[rank'"),
    (["run", "--methods", "all[rank=4]"], "--methods: 'all' takes no settings"),
    (["run", "--methods", "net:nnunt"], "unknown network 'net:nnunt'"),
    (["run", "--datasets", "brat"], "unknown data set 'brat' (did you mean 'brats'?)"),
    (["run", "--dataset", "brats", "--release", "kits19"], "--release: kits19 is a release of kit"),
    (["run", "--preset", "fast"], "unknown preset 'fast'"),
    (["run", "--preset", "quick"], "preset 'quick' needs your own data: give --data-root"),
    (["run", "--precision", "bf16"], "got bf16 (did you mean 'bf16-mixed'?)"),
    (["run", "--set", "train.lr"], "--set: must look like train.lr=3e-4, got 'train.lr'"),
    (["run", "--set", "train.lt=1"], "unknown setting 'train.lt' (did you mean 'train.lr'?)"),
    (["run", "--set", "train.lr=fast"], "--set: train.lr must be a number, got 'fast'"),
    (["run", "--set", "train.loss=dise"], "got dise (did you mean 'dice'?)"),
    (["run", "--set", "data.patch=16,64"], "--set: data.patch must be"),
    (["run", "--backbone", "tiny_vti"], "unknown backbone 'tiny_vti' (did you mean 'tiny_vit'?)"),
    (["run", "--decoder", "upernt"], "unknown decoder 'upernt' (did you mean 'upernet'?)"),
    (["run", "--weights", "in22k"], "tiny_vit: unknown weights 'in22k'"),
    (["run", "--folds", "7"], "--folds: must be below 3, got '7'"),
    (["run", "--folds", "2-0"], "--folds: must have the lower number first"),
    (["run", "--seeds", "one"], "--seeds: must be numbers such as 0,1 or 0-4, got 'one'"),
    (["run", "--data-root", "nowhere", "--preset", "demo"], "no folder nowhere"),
    (["run", "--data-root", "kits=here"], "--data-root: NAME=FOLDER must name one of --datasets"),
    (["run", "--verbose", "--quiet"], "--verbose: excludes --quiet, got both"),
    (["run", "--tuned", "--tune", "3"], "run: --tune, --tuned and --settings exclude each other"),
    (["data"], ""),
    (["data", "chek"], "data: No such command 'chek'. Did you mean 'check'?"),
    (["data", "demo"], "data demo: Missing option '--out'"),
    (["data", "demo", "--dataset", "ktis", "--out", "x"], "unknown data set 'ktis' (did you mean"),
    (["data", "check"], "data: give --data-root, or datalists alone as --datasets"),
    (["list", "models"], "list: Invalid value for 'registry': 'models' is not one of"),
    (["list", "datasets", "--backbone", "vit_b16"], "only `list methods` takes --backbone"),
    (["predict", "--run", "r", "--input", "i"], "predict: Missing option '--output'"),
    (["report", "--format", "word"], "report: Invalid value for '--format'"),
    (["compare", "a"], "compare: Missing argument 'run_b'"),
    (["ui", "--port", "99999"], "ui: Invalid value for '--port'"),
]
EMPTY: list[list[str]] = [  # as by a variable of the shell that is not set
    ["run", "--out", ""],
    ["run", "--data-root="],
    ["tune", "--only", "", "--methods", "lora"],
    ["report", "--methods", ""],
    ["predict", "--release="],
]
HEAVY: list[tuple[list[str], str]] = [  # these need torch, or the store
    (["run", "--methods", "lora[rnk=4]"], "lora: unknown setting 'rnk' (did you mean 'rank'?)"),
    (["run", "--methods", "lora[rank=0]"], "lora: rank must be >= 1, got 0"),
    (["run", "--device", "gpu"], "--device:"),
    (["run", "--timeout", "8"], "--timeout: must be a length of time such as 90s, 30m or 2h"),
    (["predict", "--run", "r", "--input", "i", "--output", "o.nii.gz"], "--run: no run 'r' with a"),
    (["report"], "report: the tracking store holds no result yet"),
]


def answer(arguments: list[str]) -> dict[str, object]:
    """Return the exit code, what is printed as an error, and whether torch was imported."""
    from bench.cli.app import main

    printed, wrong = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(wrong):
        code = main(arguments)
    return {"code": code, "error": wrong.getvalue(), "heavy": "torch" in sys.modules}


def answer_all(command: str, inputs: list[list[str]]) -> None:
    """Print a line for each input of one command, which is imported once."""
    from bench.cli.app import COMMANDS, load_command

    if command in COMMANDS:
        load_command(command)
    import_s = time.process_time()
    for arguments in inputs:
        fork(lambda arguments=arguments: tell(arguments, import_s))


def tell(arguments: list[str], import_s: float) -> None:
    record = answer(arguments)
    record |= {"arguments": arguments, "seconds": import_s + time.process_time()}
    sys.__stdout__.write(json.dumps(record) + "\n")
    sys.__stdout__.flush()


def fork(work: Callable[[], None]) -> None:
    """Do something in a process of its own, whose processor time begins at 0."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def run_all() -> None:
    import bench.cli.app  # noqa: F401  # what every command needs is imported once

    for command, group in groupby(LIGHT, lambda each: each[0][0]):
        inputs = [arguments for arguments, _ in group]
        fork(lambda command=command, inputs=inputs: answer_all(command, inputs))


if __name__ == "__main__":
    os.chdir(Path(sys.argv[1]))
    run_all()
