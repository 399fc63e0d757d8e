"""Disks that several machines share, on which SQLite's locks cannot be trusted."""

from pathlib import Path

import psutil

from bench.specs.addresses import find_sqlite_file

NETWORK = (
    *("nfs", "nfs3", "nfs4", "cifs", "smb", "smb3", "smbfs", "9p", "afs"),
    *("lustre", "gpfs", "beegfs", "beegfs_nodev", "ceph", "wekafs", "panfs", "pvfs2"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.beegfs", "fuse.s3fs", "fuse.rclone"),
)


def describe_network_disk(address: str) -> str:
    """Return a sentence on a SQLite file that is on a network disk; otherwise nothing."""
    file = find_sqlite_file(address)
    if file is None:
        return ""
    kind = find_disk_type(file)
    if kind not in NETWORK:
        return ""
    rule = "SQLite needs a disk of one machine"
    hint = "use one command at a time, or a server (docs/cluster.md)"
    return f"{file}: {rule}, got {kind} ({hint})"


def find_disk_type(file: Path) -> str:
    """Return the type of the file system that a file is, or would be, on; empty: not known."""
    best, kind = -1, ""
    resolved = file.resolve()
    for disk in psutil.disk_partitions(all=True):
        mount = Path(disk.mountpoint)
        depth = len(mount.parts)
        if depth >= best and resolved.is_relative_to(mount):  # the last of equal ones is on top
            best, kind = depth, disk.fstype
    return kind
