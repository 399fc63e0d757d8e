"""What cannot be shared by devices is said before anything starts."""

import pytest

from bench.run.ranks.batches import check_batches
from bench.specs.protocol import DataSpec, Protocol, SpecError, TrainSpec
from datasets.prepared.batches.ahead import BatchReader


def make_protocol(batch: int, n_patches: int = 12) -> Protocol:
    return Protocol(DataSpec(patches_per_epoch=n_patches), train=TrainSpec(batch=batch))


@pytest.mark.parametrize(("batch", "n_patches", "n_devices"), [(1, 7, 1), (4, 12, 4), (4, 10, 2)])
def test_batches_that_can_be_shared(batch, n_patches, n_devices):
    check_batches(make_protocol(batch, n_patches), n_devices)


@pytest.mark.parametrize(
    ("batch", "n_patches", "n_devices", "sentence"),
    [
        (1, 12, 2, "--devices: train.batch must be a multiple of 2, .*got 1 .*train.batch=2"),
        (3, 12, 2, "--devices: train.batch must be a multiple of 2, .*got 3 .*train.batch=4"),
        (4, 11, 2, "the last batch of an epoch must be .* 2 as well, got 3 of .*_epoch=12"),
        (4, 10, 4, "the last batch of an epoch must be .* 4 as well, got 2 of .*_epoch=12"),
    ],
)
def test_batches_that_cannot_be_shared(batch, n_patches, n_devices, sentence):
    with pytest.raises(SpecError, match=sentence):
        check_batches(make_protocol(batch, n_patches), n_devices)


class Numbers:
    """Patches that are the numbers of their items."""

    n_patches = 10

    def read(self, epoch, items, empty):
        return [*items]


def test_the_parts_of_a_batch_are_the_batch():
    whole = [*BatchReader(Numbers(), 4).read_epoch(0)]
    parts = [[*BatchReader(Numbers(), 4, share=n, n_shares=2).read_epoch(0)] for n in range(2)]
    assert whole == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole
    assert [len(part) for part in parts[0]] == [2, 2, 1]
