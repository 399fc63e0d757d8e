"""Fabric for one of several processes that share a run."""

from typing import Any

from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn

from bench.specs.run import Team


class TeamEnvironment(LightningEnvironment):
    """Processes that are started by us, on one machine."""

    def __init__(self, team: Team) -> None:
        super().__init__()
        self.team = team

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return self.team.rank

    def node_rank(self) -> int:
        return 0


class TeamStrategy(DDPStrategy):
    """Fabric's DDP whose gradients are averaged once a step, by `bench.run.training.ranks`.

    Its process group is the one that `join` has made.
    """

    def setup_module(self, module: nn.Module) -> Any:
        return module
