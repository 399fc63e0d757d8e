"""The option --match-params: what it chooses is said, and what it cannot choose is refused."""

import pytest

from bench.cli.options import Request
from bench.cli.request import read_request
from bench.specs.protocol import SpecError


def test_capacities_are_chosen_and_said(tmp_path):
    request = Request(methods="lora,med_adapter,bitfit", match_params="30k", out=tmp_path)
    experiment = read_request(request)
    assert [str(spec) for spec in experiment.methods] == [
        "lora[rank=10]",
        "med_adapter[ratio=9]",
        "bitfit",
    ]
    assert experiment.notes == (
        "--match-params 30k: lora: rank=10, 30,720 parameters, +2.4%",
        "--match-params 30k: med_adapter: ratio=9, 30,472 parameters, +1.6%",
        "--match-params 30k: bitfit: no capacity to choose, 8,704 parameters, -71.0%",
    )


def test_a_capacity_that_is_given_is_refused(tmp_path):
    request = Request(methods="lora[rank=4]", match_params="30k", out=tmp_path)
    with pytest.raises(SpecError, match=r"it chooses lora's rank, got 'lora\[rank=4\]'"):
        read_request(request)
