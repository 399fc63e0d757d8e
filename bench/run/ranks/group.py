"""The processes of a run on several devices: how they find each other, and what they exchange."""

import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from bench.specs.run import Place, Team

HOST = "127.0.0.1"
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
PATIENCE = timedelta(days=7)  # a process that has died is noticed by another that watches
IN_HOST = torch.device("cpu")
T = TypeVar("T")
_Store: Any = dist.TCPStore  # type: ignore[attr-defined]  # not among its public types


def open_store(n_ranks: int) -> Any:
    """Return a store on this machine by which the processes find each other; it has a free port."""
    return _Store(HOST, 0, n_ranks, is_master=True, wait_for_workers=False)


def join(place: Place) -> None:
    """Make this process one of its team; wait for the others."""
    assert place.team is not None
    team, kind = place.team, place.device.partition(":")[0]
    if sys.platform.startswith("linux"):  # host names are often not resolved in containers
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if kind == "cuda":
        torch.cuda.set_device(place.device)
    store = _Store(HOST, team.port, team.size, is_master=False)
    dist.init_process_group(
        BACKENDS[kind], store=store, rank=team.rank, world_size=team.size, timeout=PATIENCE
    )


@dataclass(frozen=True)
class Used:
    """What a process has used, or all of them.

    Attributes:
        peak_memory_mib: the largest, of any process.
        n_passes: of windows of held-out cases through the network.
    """

    peak_memory_mib: float
    n_passes: int


@dataclass(frozen=True)
class Ranks:
    """This process among those of its run; the first leads. By default there are no others.

    The first rank alone may leave the others behind: they are ended with it.
    """

    number: int = 0
    count: int = 1

    @classmethod
    def of(cls, team: Team | None) -> "Ranks":
        """Return the ranks of a team that this process has joined; None: it is alone."""
        return cls() if team is None else cls(team.rank, team.size)

    @property
    def is_first(self) -> bool:
        """Whether this process writes and decides."""
        return self.number == 0

    def broadcast(self, value: T | None) -> T:
        """Return the value of the first rank in all of them."""
        box: list[Any] = [value]
        if self.count > 1:
            dist.broadcast_object_list(box, src=0, device=IN_HOST)
        found: T = box[0]
        return found

    def end(self, used: Used) -> Used:
        """Leave the team; return what all ranks have used."""
        if self.count == 1:
            return used
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, used)
        dist.destroy_process_group()
        peaks = [each.peak_memory_mib for each in found]
        return Used(max(peaks), sum(each.n_passes for each in found))


ALONE = Ranks()
