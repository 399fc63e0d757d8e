"""Patches that are read ahead give the same run."""

from dataclasses import replace

import pytest

from bench.run.execute import execute_run
from bench.specs.run import Means, MethodSpec, Place
from reports.records.run import Status


def tell(phase, stand):
    pass


@pytest.fixture
def results(make_run, prepared, tmp_path):
    spec = make_run()
    method = MethodSpec("lora", (("dropout", "0.1"),))
    data = replace(spec.protocol.data, patches_per_epoch=7)  # the last batch is smaller
    spec = replace(spec, method=method, protocol=replace(spec.protocol, data=data))
    found = {}
    for n_workers in (0, 1, 3):
        place = Place(tmp_path / str(n_workers), prepared, "cpu", Means(data_workers=n_workers))
        found[n_workers] = execute_run(spec, place, tell)
    return found


def test_each_number_of_workers_gives_the_same_weights_curve_and_scores(results):
    assert {result.status for result in results.values()} == {Status.DONE}
    alone = results[0]
    for ahead in (results[1], results[3]):
        assert ahead.chosen_sha256 == alone.chosen_sha256
        assert ahead.curve == alone.curve
        assert ahead.cases == alone.cases
