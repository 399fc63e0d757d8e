"""The options for sbatch are read as they are typed, and what cannot work is one sentence."""

import pytest

from bench.grid.executors.options import read_slurm
from bench.specs.protocol import SpecError


def test_options_are_typed_with_commas_that_may_also_be_in_values():
    typed = "partition=gpu,time=8:00:00,nodelist=n[1-3,5],mail-type=END,FAIL,mem=48G"
    options = read_slurm([typed])
    assert options.list_flags() == [
        "--partition=gpu",
        "--time=8:00:00",
        "--nodelist=n[1-3,5]",
        "--mail-type=END,FAIL",
        "--mem=48G",
    ]


def test_a_flag_has_no_value():
    assert read_slurm(["exclusive", "account=x"]).list_flags() == ["--exclusive", "--account=x"]


def test_a_sites_file_has_defaults_that_are_overridden(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text(
        'partition = "gpu"\ngpus-per-node = 1\nrequeue = true\nexclusive = false\n'
        'setup = ["module load cuda"]\n'
    )
    options = read_slurm([f"{file},partition=long,time=10"])
    assert options.list_flags() == [
        "--partition=long", "--gpus-per-node=1", "--requeue", "--time=10",
    ]  # fmt: skip
    assert options.setup == ("module load cuda",)
    assert options.wants_gpu


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("gpus_per_node=1", True),
        ("gres=gpu:a100:1", True),
        ("gres=gpu", True),
        ("gpus=a100:1", True),
        ("gres=shard:4", False),
        ("gpus_per_node=0", False),
        ("mem=4G", False),
    ],
)
def test_a_gpu_is_asked_for_in_several_ways(typed, expected):
    assert read_slurm([typed]).wants_gpu is expected


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("partition=", "--slurm: must be NAME=VALUE,NAME=VALUE or a site's FILE.toml"),
        ("=gpu", "--slurm: must be NAME=VALUE,NAME=VALUE or a site's FILE.toml"),
        ("array=0-3", "--slurm: array is set by the benchmark"),
        ("job-name=x", "--slurm: job_name is set by the benchmark"),
        ("nodes=2", "--slurm: nodes must be 1, as a job is one run, got 2"),
        ("gpus_per_node=4", "--slurm: gpus_per_node must be 1 GPU, as a job is one run, got 4"),
        ("gres=gpu:a100:2", "--slurm: gres must be 1 GPU, as a job is one run, got gpu:a100:2"),
        ("ntasks_per_node=4", "--slurm: ntasks_per_node must be 1"),
        ("nosuch.toml", "--slurm: nosuch.toml must be a file, found none"),
    ],
)
def test_bad_options_are_one_sentence(typed, sentence):
    with pytest.raises(SpecError) as caught:
        read_slurm([typed])
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("partition = [", "must be TOML"),
        ("[gpu]\npartition = 1\n", "gpu must be a text, a number or true"),
        ('setup = "module load"', "setup must be a list of lines of shell"),
        ("nodes = 3", "nodes must be 1"),
    ],
)
def test_a_bad_file_of_a_site_is_one_sentence(tmp_path, text, words):
    file = tmp_path / "site.toml"
    file.write_text(text)
    with pytest.raises(SpecError, match=words):
        read_slurm([str(file)])


def test_a_job_asks_for_the_gpus_of_its_run():
    assert read_slurm(["gpus_per_node=4"], n_devices=4).n_gpus == 4
    assert read_slurm(["gres=gpu:a100:4,mem=9G"], n_devices=4).n_gpus == 4
    with pytest.raises(SpecError, match="gpus_per_node must be 4 GPUs, as a job is one run, got 2"):
        read_slurm(["gpus_per_node=2"], n_devices=4)
