"""What is special about a store in a file: an older one beside it, and its place."""

from pathlib import Path

import pytest

from bench.tracking.connection import artifact_place, describe_browsing, find_shadow


@pytest.fixture(autouse=True)
def in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def add_file_store(folder: Path, name: str) -> Path:
    meta = folder / "mlruns" / name / "meta.yaml"
    meta.parent.mkdir(parents=True)
    meta.touch()
    return meta


def test_artifacts_lie_next_to_the_database(tmp_path: Path) -> None:
    assert (
        artifact_place(f"sqlite:///{tmp_path}/mlflow.db", "brats")
        == (tmp_path / "mlruns" / "brats").as_uri()
    )
    assert artifact_place("http://somewhere:5000", "brats") is None


def test_an_older_file_store_is_found_as_mlflow_finds_it(tmp_path: Path) -> None:
    from mlflow.tracking._tracking_service.utils import _has_existing_mlruns_data

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    add_file_store(tmp_path, "brats")  # a name that is no number does not count
    assert find_shadow(uri) is None
    assert not _has_existing_mlruns_data()
    meta = add_file_store(tmp_path, "0")
    assert find_shadow(uri) == meta
    assert _has_existing_mlruns_data()


def test_how_to_browse_is_one_sentence(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert describe_browsing(uri) == "mlflow ui"
    assert describe_browsing("http://somewhere:5000") == "http://somewhere:5000"
    assert describe_browsing(f"sqlite:///{tmp_path}/sub/mlflow.db") == "python -m bench ui"
    add_file_store(tmp_path, "123")
    warned = describe_browsing(uri)
    assert warned.startswith(
        "python -m bench ui   (mlruns/123/meta.yaml is of an older MLflow store"
    )
    assert len(warned.splitlines()) == 1
