"""A SQLite file on a network disk is named; one on a disk of this machine is not."""

from collections import namedtuple

import pytest

from bench.specs import disks
from bench.specs.disks import describe_network_disk, find_disk_type

Disk = namedtuple("Disk", ["mountpoint", "fstype"])


@pytest.fixture
def mounted(monkeypatch, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    listed = [Disk("/", "ext4"), Disk(str(home), "nfs4"), Disk(str(home / "fast"), "xfs")]
    monkeypatch.setattr(disks.psutil, "disk_partitions", lambda all: listed)
    return home


def test_the_deepest_mount_decides(mounted):
    assert find_disk_type(mounted / "mlflow.db") == "nfs4"
    assert find_disk_type(mounted / "fast" / "mlflow.db") == "xfs"
    assert find_disk_type(mounted.parent / "homes") == "ext4"


def test_a_store_on_a_network_disk_is_a_sentence(mounted):
    sentence = describe_network_disk(f"sqlite:///{mounted / 'mlflow.db'}")
    assert sentence.startswith(f"{mounted / 'mlflow.db'}: SQLite needs a disk of one machine, got")
    assert "nfs4" in sentence


@pytest.mark.parametrize("address", ["http://server:5000", "postgresql://server/db", "sqlite://"])
def test_a_server_is_no_file(mounted, address):
    assert describe_network_disk(address) == ""


def test_a_store_on_a_local_disk_is_not_named(mounted):
    assert describe_network_disk(f"sqlite:///{mounted / 'fast' / 'mlflow.db'}") == ""
