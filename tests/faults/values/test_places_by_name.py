"""Folders and files by names from elsewhere: they hold their stores, and stay inside."""

from pathlib import Path

import pytest

from bench.cli.app import main
from bench.specs.addresses import sqlite_address
from bench.specs.protocol import Protocol, SpecError
from bench.specs.run import MethodSpec, RunSpec, run_folder
from bench.tracking.connection import default_uri
from bench.tracking.groups import begin_group
from bench.tracking.store import open_store
from reports.page.portfolio import make_unique
from reports.tables.table import make_slug
from tests.faults.values.hostile_names import build_table, make_result


def forget_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MLflow open stores anew: it keeps them by address, which may be from another folder."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.tracking._tracking_service.utils import _tracking_store_registry

    monkeypatch.setattr(SqlAlchemyStore, "_engine_map", {})
    _tracking_store_registry._get_store_with_resolved_uri.cache_clear()


@pytest.mark.parametrize("name", ["q?x", "a#b", "50%41", "a{b}", "a;b [c]", "ä ö", "it's"])
def test_a_working_directory_of_any_name_holds_its_store(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Path, capsys
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(database.read_bytes())
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    forget_stores(monkeypatch)
    make_result(0, "lora").write(folder / "results" / "runs" / "0")
    assert main(["sync"]) == 0
    assert "sent 1 of 1 results" in capsys.readouterr().out
    assert main(["report"]) == 0
    assert len(open_store().load_results()) == 1
    assert {file.name for file in folder.iterdir()} == {"mlflow.db", "mlruns", "results"}
    assert {file.name for file in tmp_path.iterdir()} == {name}
    assert default_uri().startswith("sqlite:///")


def test_optuna_has_its_file_in_such_a_directory(tmp_path: Path, monkeypatch) -> None:
    from bench.tuning.study import open_storage

    home = tmp_path / "q?x 50%41 {a}"
    home.mkdir()
    monkeypatch.chdir(home)
    file = home / "{b}" / "optuna.db"
    open_storage(sqlite_address(file))
    assert file.is_file()
    with pytest.raises(SpecError, match="must have no"):
        sqlite_address(home / "a?b" / "optuna.db")


def test_folders_of_runs_and_records_of_commands_stay_inside(tmp_path: Path) -> None:
    method = MethodSpec("own", (("file", "../../a/b"), ("long", "x" * 300)))
    spec = RunSpec(method, "brats", "f00", 0, 0, Protocol(), Path("/data"))
    folder = run_folder(tmp_path, spec)
    assert folder.parent == tmp_path / "runs"
    folder.mkdir(parents=True)
    group = begin_group([spec], "a command", tmp_path)
    assert group.runs["brats"] == (folder.name,)


def test_slugs_are_short_and_kept_apart() -> None:
    tables = [build_table("a_b"), build_table("a-b"), build_table("A_B")]
    assert len({table.slug.lower() for table in make_unique(tables)}) == 3
    slug = make_slug("main", *(f"a-data-set-with-a-long-name-{number}" for number in range(9)))
    assert len(f".12345.partial.{slug}.tex") < 255
