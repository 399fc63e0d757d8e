"""What a report of a bug needs is printed, and nothing stays behind."""

from bench.cli.app import load_command, main


def test_doctor_tells_versions_devices_disk_and_store(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["doctor", "--out", "runs"]) == 0
    printed = capsys.readouterr().out
    for word in ("medtuning-bench", "torch ", "CPU cores", "GiB free", "locks work there"):
        assert word in printed
    assert "mae of vit_b16: cc-by-nc-4.0" in printed
    assert "host:5000: a server, which was not asked" in printed
    assert "secret" not in printed
    assert not list(tmp_path.iterdir())


def test_plan_takes_every_option_of_run():
    run, plan = ({each.name for each in load_command(name).params} for name in ("run", "plan"))
    assert run <= plan
