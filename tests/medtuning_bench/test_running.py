"""What cannot be run is told before anything is written."""

import pytest

import medtuning_bench as mb


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lerning": 1}, "run: must be among .*, got lerning"),
        ({"set": ["train.lr=1"]}, r"run: set must be a mapping such as .*, got \['train.lr=1'\]"),
    ],
)
def test_wrong_arguments_are_one_sentence(tmp_path, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=sentence):
        mb.run(methods="linear", **options)
    assert not list(tmp_path.iterdir())
