"""The cases that are segmented, spread over the processes of a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import numpy as np
import torch.distributed as dist

from bench.run.ranks.group import ALONE, IN_HOST, Ranks, Used
from bench.scoring.cases import NotFiniteError, Predict
from datasets.prepared.case import PreparedCase

T = TypeVar("T")


@dataclass(frozen=True)
class Inference:
    """Segments cases; each rank has an equal part of them."""

    predict: Predict  # by this process, with the model as it then is
    ranks: Ranks = ALONE

    def spread(self, cases: Sequence[PreparedCase]) -> Predict:
        """Return a function that segments these cases, in their order, on all ranks.

        It is for the first rank, while the others are in `serve`.
        """
        if self.ranks.count == 1:
            return self.predict
        self.ranks.broadcast(tuple(cases))
        numbers = count()

        def segment_next(image: np.ndarray) -> np.ndarray:
            source = next(numbers) % self.ranks.count
            return self.predict(image) if source == 0 else _receive(source)

        return segment_next

    def compute(self, cases: Sequence[PreparedCase], score: Callable[[Predict], T]) -> T:
        """Return, in every rank, what ``score`` finds in the first with the segmented cases."""
        if self.ranks.is_first:
            return self.ranks.broadcast(score(self.spread(cases)))
        self.serve()
        return self.ranks.broadcast(None)

    def serve(self) -> bool:
        """Segment this rank's part of the cases that the first one spreads; False: there are none.

        Logits that are not finite are an error of the first rank.
        """
        ranks = self.ranks
        cases: Sequence[PreparedCase] = ranks.broadcast(None)
        for case in cases[ranks.number :: ranks.count]:
            try:
                found: np.ndarray | str = self.predict(case.image())
            except NotFiniteError as error:
                found = str(error)
            dist.send_object_list([found], dst=0, device=IN_HOST)
        return bool(cases)

    def end(self, used: Used) -> Used:
        """Let the other ranks return from `serve` and end; return what all have used."""
        if self.ranks.is_first:
            self.ranks.broadcast(())
        return self.ranks.end(used)


def _receive(source: int) -> np.ndarray:
    """Return the class map that a rank has sent. Raises: NotFiniteError."""
    box: list[Any] = [None]
    dist.recv_object_list(box, src=source, device=IN_HOST)
    if isinstance(box[0], str):
        raise NotFiniteError(box[0])
    found: np.ndarray = box[0]
    return found
