"""Batches that are read before they are asked for, by threads.

Reading a patch is work on whole arrays, during which Python's lock is free; so threads read side by
side, straight into the memory of the batch. Processes would copy it once more, through shared
memory, of which containers often have 64 MiB.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from datasets.prepared.batches.memory import Memory, empty_pinned
from datasets.prepared.batches.patches import Batch, Patches


@dataclass(frozen=True)
class BatchReader:
    """Reads the epochs of patches batch by batch; each number of threads gives the same batches.

    In memory are at most ``n_ahead + 1`` batches: one that is used, and one for each thread. The
    last batch of an epoch may be smaller than the others. Where processes share each batch, a
    process reads its part of it alone.
    """

    patches: Patches
    batch: int
    n_ahead: int = 0  # threads; 0: a batch is read when it is asked for
    pinned: bool = False  # in memory that a GPU copies from while it computes
    share: int = 0  # number of the part that is read, from 0
    n_shares: int = 1  # equal parts of a batch
    memory: Memory = field(default_factory=Memory)

    @property
    def n_batches(self) -> int:
        """Batches of an epoch."""
        return -(-self.patches.n_patches // self.batch)

    def read_epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch in order. Raises: as `Patches.read`."""
        if not self.n_ahead:
            return (self._read(epoch, number) for number in range(self.n_batches))
        return self._read_ahead(epoch)

    def _read(self, epoch: int, number: int) -> Batch:
        first = number * self.batch
        whole = range(first, min(first + self.batch, self.patches.n_patches))
        size = len(whole) // self.n_shares
        items = whole[self.share * size : (self.share + 1) * size]
        return self.patches.read(epoch, items, empty_pinned if self.pinned else self.memory.empty)

    def _read_ahead(self, epoch: int) -> Iterator[Batch]:
        pool = ThreadPoolExecutor(self.n_ahead, "patches")
        asked = (pool.submit(self._read, epoch, number) for number in range(self.n_batches))
        try:
            pending: deque[Future[Batch]] = deque(islice(asked, self.n_ahead))
            while pending:
                batch = pending.popleft().result()
                pending.extend(islice(asked, 1))
                yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
