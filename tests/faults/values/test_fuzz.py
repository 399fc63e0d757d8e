"""Damaged bytes in every file that is read back: a record or a sentence that names the file.

Bytes are flipped, cut, doubled and put in; in JSON values of other types are put in as well.
"""

import gzip
import json
import random
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import datasets
from bench.cost.usage import USAGE_FILE, read_usage
from bench.grid.executors.ledger import JOB_FILE, Submission, read_submission, write_submission
from bench.grid.executors.options import read_slurm
from bench.models.delta import hash_tensors
from bench.models.weights.checkpoints import read_checkpoint
from bench.run.delta_file import FORMAT, FORMAT_VERSION, DeltaHeader, read_delta
from bench.run.firewall import SELECTION_FILE, Selection, read_selection
from bench.specs.protocol import Protocol
from bench.specs.run import DELTA_FILE, MethodSpec, RunSpec
from bench.tracking.groups import Group, read_group
from bench.tracking.results import describe_result
from bench.tracking.studies import describe_study
from bench.tuning.tuned_values import TunedValues, apply_file, write_toml
from datasets.base import SYNTHETIC_MARKER, Case, DataError, DatasetInfo, Region
from datasets.files import adapter_of
from datasets.phantoms.write import write_phantoms
from datasets.splits.file import find_split_file, split_by_file
from datasets.volumes.checking import check_case
from datasets.volumes.reading import read_image
from reports.records.run import EpochRecord, PostProcessing, read_result
from reports.records.study import StudyRecord, TrialRecord, read_study
from tests.faults.values.hostile_names import make_result

pytestmark = pytest.mark.slow

N_MUTATIONS = 1000
LONGEST_S = 5.0  # of one reading; a longer one counts as a hang
VALUES = [None, True, -1, 0, 10**30, 1.5, float("nan"), "", "x", "\n", [], {}, [[]], {"a": 1}]
TOKENS = [b"", b"\0", b"\xff", b"nan", b"1e999", b"-1", b'"', b"[" * 2000, b"{", b",", b"9" * 400]


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Return the content with some damage."""
    if content[:1] in b"{[" and rng.random() < 0.5:
        return json.dumps(mutate_value(json.loads(content), rng)).encode()
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(found) + 1)
        end = min(len(found), place + rng.choice((1, 1, 4, 50)))
        kind = rng.randrange(5)
        if kind == 0:
            found[place:end] = bytes(rng.randrange(256) for _ in range(end - place))
        elif kind == 1:
            del found[place:end]
        elif kind == 2:
            found[place:place] = found[place:end]
        elif kind == 3:
            found[place:place] = rng.choice(TOKENS)
        else:
            del found[place:]
    return bytes(found)


def mutate_value(value: Any, rng: random.Random) -> Any:
    """Return plain data with another value somewhere, a key less, or a key more."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return rng.choice(VALUES)
    if isinstance(value, list):
        place = rng.randrange(len(value))
        return [*value[:place], mutate_value(value[place], rng), *value[place + 1 :]]
    key = rng.choice(list(value))
    action = rng.random()
    if action < 0.1:
        return {name: each for name, each in value.items() if name != key}
    if action < 0.2:
        return value | {rng.choice(("", "x", f"{key} ")): rng.choice(VALUES)}
    return value | {key: mutate_value(value[key], rng)}


class Room:
    """A folder with one whole file of each kind, and how each is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = RunSpec(MethodSpec("lora"), "brats", "f", 0, 0, Protocol(), folder)
        self.cases = [Case(f"c{n}", f"c{n}", {}, None) for n in range(6)]
        self.kinds: dict[str, tuple[Path, Callable[[], object]]] = {}
        self.add_records()
        self.add_data()
        self.add_weights()
        self.add_delta()
        self.add_rest()

    def add_records(self) -> None:
        folder = self.folder
        row = make_result(0, "WT").cases[0]
        result = make_result(
            0, "WT", curve=(EpochRecord(0, 0.5, 1e-3, 0.6),), best_epoch=0,
            postprocessing=PostProcessing("ET", 5, ((5, 0.5),), (row,)),
            provenance={"started_at": "2025-06-01T12:00:00+00:00", "wall_s": 2.0, "packages": {}},
        )  # fmt: skip

        def read_and_describe() -> object:
            found = read_result(folder)
            return found and describe_result(found, folder / "none")

        self.kinds["result"] = result.write(folder), read_and_describe
        trials = (TrialRecord(0, "done", {"train.lr": 0.1}, 0.5, 20, 1.5),)
        study = StudyRecord(
            "s", "lora", "brats", "tiny_vit", "none", 0, 0, True, "abc", {"trials": 2}, {}, trials
        )
        file = study.write(folder)
        self.kinds["study"] = file, lambda: describe_study(read_study(file), folder / "none")
        chosen = folder / SELECTION_FILE
        chosen.write_text(json.dumps(asdict(Selection("r", "f" * 64, 3, 0.5, "2025-06-01"))))
        self.kinds["selection"] = chosen, lambda: read_selection(folder)
        (folder / "commands").mkdir()
        group = folder / "commands" / "g.json"
        group.write_text(json.dumps(asdict(Group("g", "run", "2025-06-01", {"brats": ("a",)}))))
        self.kinds["command"] = group, lambda: read_group(folder, "g")
        settings = folder / "settings.toml"
        tune = asdict(self.spec.protocol.tune)
        cell = replace(self.spec.cell, weights="")
        write_toml(settings, [TunedValues(cell, "s#1", {"method.rank": 4, "train.lr": 0.1}, tune)])
        self.kinds["settings"] = settings, lambda: apply_file([self.spec], settings)
        usage = folder / USAGE_FILE
        usage.write_text("at_ms,cpu_percent,memory_mib\n" + "1700000000000,98.5,512.0\n" * 4)
        self.kinds["usage"] = usage, lambda: read_usage(folder)

    def add_data(self) -> None:
        folder = self.folder
        volume = folder / "image.nii"
        image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
        volume.write_bytes(image.to_bytes())
        packed = folder / "image.nii.gz"
        packed.write_bytes(gzip.compress(image.to_bytes()))
        info = DatasetInfo(
            "x", "x", "", "CT", ("ct",), ("b", "a"), (0, 1), (Region("a", (1,)),), ""
        )
        for name, file in (("NIfTI", volume), ("NIfTI, packed", packed)):
            case = Case("c", "c", {"ct": file}, None)
            self.kinds[name] = file, lambda case=case: (check_case(case, info), read_image(case))
        splits = folder / "splits_final.json"
        folds = [{"train": ["c0", "c1", "c2", "c3"], "val": ["c4", "c5"]}]
        folds.append({"train": ["c2", "c3", "c4", "c5"], "val": ["c0", "c1"]})
        splits.write_text(json.dumps(folds))

        def split() -> object:
            found = find_split_file("auto", folder)
            return found and split_by_file(found, self.cases, 0, 0.2, ())

        self.kinds["splits"] = splits, split
        datalist = folder / "mine.json"
        content = {
            "name": "Mine", "modality": {"0": "CT"}, "labels": {"0": "b", "1": "a"},
            "regions": {"a": [1]}, "window": dict(low_hu=-1, high_hu=1, mean_hu=0, std_hu=1),
            "training": [{"image": "image.nii", "label": "image.nii", "id": "one"}],
            "test": ["image.nii.gz"],
        }  # fmt: skip
        datalist.write_text(json.dumps(content))

        def open_datalist() -> object:
            found = datasets.build(str(datalist), datalist)
            return found.info, found.meaning, found.discovery

        self.kinds["datalist"] = datalist, open_datalist

    def add_weights(self) -> None:
        file = self.folder / "vit.npz"
        rng = np.random.default_rng(0)
        arrays = {name: rng.normal(size=shape) for name, shape in list_vit_arrays().items()}
        np.savez(file, **{name: each.astype(np.float16) for name, each in arrays.items()})
        self.kinds[".npz weights"] = file, lambda: read_checkpoint(file)

    def add_delta(self) -> None:
        file = self.folder / DELTA_FILE
        state = {"lora": torch.arange(4.0)}
        regions = (Region("a", (1,)),)
        info = DatasetInfo("one", "One", "", "CT", ("ct",), ("b", "a"), (0, 1), regions, "")
        sha256 = hash_tensors(state)
        header = DeltaHeader(self.spec.run_id, self.spec, info, "", "", sha256)
        metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION)}
        metadata["header"] = adapter_of(DeltaHeader).dump_json(header).decode()
        save_file(state, file, metadata)
        self.kinds["delta"] = file, lambda: read_delta(self.folder)

    def add_rest(self) -> None:
        root = self.folder / "phantoms"
        write_phantoms("brats", root, 1, shape=(16, 16, 16))
        marker = root / SYNTHETIC_MARKER

        def write_again() -> None:
            try:
                write_phantoms("brats", root, 1, shape=(16, 16, 16))
            except DataError as error:  # it names the root
                raise DataError(f"{marker}: {error}") from None

        self.kinds["marker"] = marker, write_again
        job = self.folder / JOB_FILE
        write_submission(self.folder, Submission("a", 1, "2", past=("3",)))
        self.kinds["job"] = job, lambda: read_submission(self.folder)
        site = self.folder / "site.toml"
        site.write_text('partition = "gpu"\nexclusive = true\nsetup = ["module load cuda"]\n')
        self.kinds["site of Slurm"] = site, lambda: read_slurm([str(site)])


def list_vit_arrays() -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the original layout of a ViT of one block."""
    block = "Transformer/encoderblock_0/"
    attention = f"{block}MultiHeadDotProductAttention_1/"
    shapes: dict[str, tuple[int, ...]] = {"embedding/kernel": (2, 2, 3, 4), "embedding/bias": (4,)}
    shapes |= {"cls": (1, 1, 4), "Transformer/posembed_input/pos_embedding": (1, 5, 4)}
    for norm in (f"{block}LayerNorm_0", f"{block}LayerNorm_2", "Transformer/encoder_norm"):
        shapes |= {f"{norm}/scale": (4,), f"{norm}/bias": (4,)}
    for part in ("query", "key", "value"):
        shapes |= {f"{attention}{part}/kernel": (4, 2, 2), f"{attention}{part}/bias": (2, 2)}
    shapes |= {f"{attention}out/kernel": (2, 2, 4), f"{attention}out/bias": (4,)}
    shapes |= {f"{block}MlpBlock_3/Dense_0/kernel": (4, 8), f"{block}MlpBlock_3/Dense_0/bias": (8,)}
    return shapes | {
        f"{block}MlpBlock_3/Dense_1/kernel": (8, 4),
        f"{block}MlpBlock_3/Dense_1/bias": (4,),
    }


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room(tmp_path_factory.mktemp("fuzz"))


KINDS = (
    "result", "study", "selection", "command", "settings", "usage", "NIfTI", "NIfTI, packed",
    "splits", "datalist", ".npz weights", "delta", "marker", "job", "site of Slurm",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_read_or_named(
    kind: str, room: Room, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    file, read = room.kinds[kind]
    whole = file.read_bytes()
    read()
    rng = random.Random(kind)
    refused = 0
    started = time.perf_counter()
    try:
        for number in range(N_MUTATIONS):
            damaged = mutate(whole, rng)
            file.write_bytes(damaged)
            begun = time.perf_counter()
            try:
                read()
            except ValueError as error:
                refused += 1
                sentence = str(error)
                assert file.name in sentence, (number, sentence)
            except Exception as error:
                pytest.fail(f"mutation {number} of {kind}: {error!r} of {damaged[:300]!r}")
            assert time.perf_counter() - begun < LONGEST_S, number
    finally:
        file.write_bytes(whole)
    took_s = time.perf_counter() - started
    with capsys.disabled():
        counts = f"{N_MUTATIONS} mutations, {refused} refused by name, {took_s:.1f} s"
        sys.stdout.write(f"\n{kind}: {counts}\n")


@pytest.mark.parametrize("offset", [float("nan"), float("inf"), -1.0, 1e30, 0.0])
def test_a_strange_offset_of_the_voxels_is_a_row(offset: float, room: Room) -> None:
    file, read = room.kinds["NIfTI"]
    whole = file.read_bytes()
    file.write_bytes(whole[:108] + struct.pack("<f", offset) + whole[112:])
    try:
        with pytest.raises(ValueError, match=r"image\.nii"):
            read()
    finally:
        file.write_bytes(whole)


def test_weights_with_text_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "text.npz"
    shapes = list_vit_arrays()
    np.savez(file, **{name: np.full(shape, "text") for name, shape in shapes.items()})
    with pytest.raises(ValueError, match=r"text\.npz"):
        read_checkpoint(file)
