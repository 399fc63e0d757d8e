"""Files of runs that a report asks for again and again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.tracking.store import open_store
from tests.bench.tracking.made_runs import make_result


def test_a_file_of_a_server_is_fetched_once(
    new_store: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, result = open_store(new_store(tmp_path / "store")), make_result("lora")
    (tmp_path / "slices.npz").write_bytes(b"slices")
    store.log_result(result, tmp_path)
    store.load_results(result.dataset)
    monkeypatch.setattr("bench.tracking.store.find_local_folder", lambda address: None)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    first = store.fetch_file(result.run_id, "slices.npz", scratch)
    assert first is not None
    assert first.read_bytes() == b"slices"
    monkeypatch.setattr(store.client, "download_artifacts", None)
    assert store.fetch_file(result.run_id, "slices.npz", scratch) == first
