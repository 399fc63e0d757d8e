"""`sync` beside a command that replaces a run's files: what is gone meanwhile is no problem."""

from pathlib import Path

import pytest

from bench.tracking import publishing
from bench.tracking.publishing import sync
from bench.tracking.store import open_store
from reports.records.run import RunResult
from tests.faults.values.hostile_names import make_result


def test_a_result_that_is_replaced_meanwhile_is_left_to_its_command(
    tmp_path: Path, new_store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        make_result(number, f"m{number}").write(tmp_path / "runs" / str(number))
    (tmp_path / "runs" / "2" / "overlay.png").write_bytes(b"picture")
    read_result = publishing.read_result

    def read_late(folder: Path) -> RunResult | None:
        if folder.name == "1":
            (folder / "result.json").unlink()
            raise FileNotFoundError(2, "No such file", str(folder))
        return read_result(folder)

    monkeypatch.setattr(publishing, "read_result", read_late)
    store = open_store(new_store(tmp_path / "store"))
    send = type(store).send

    def send_late(self, kind, experiment, entry, parent=""):
        for picture in entry.files:
            picture.unlink()
        return send(self, kind, experiment, entry, parent)

    monkeypatch.setattr(type(store), "send", send_late)
    tally = sync(store, tmp_path)
    assert len(tally.sent) == 2
    assert tally.problems == ()
