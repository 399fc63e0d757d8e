from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator

import pytest
import torch

import methods
from bench.models.contract import Gradients, Subject, train
from bench.models.segmenter import Segmenter
from methods.base import Method
from tests.methods.pairs import Pair, SwinPair, ViTPair, make_swin_pair, make_vit_pair

Build = Callable[..., Segmenter]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _return_memory(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give freed heap back after a large network: two workers would need 20 GB otherwise."""
    yield
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None and request.node.get_closest_marker("slow"):
        gc.collect()
        trim(0)


@pytest.fixture
def backbone() -> str:
    """The backbone of tests that do not name one."""
    return "tiny_vit"


@pytest.fixture
def volume(backbone: str) -> torch.Tensor:
    """Two volumes (B, C, D, H, W) for the test's backbone."""
    return Subject(methods.build("linear"), backbone).make_volume()


@pytest.fixture(scope="session")
def plain() -> Build:
    """Builds a network without a method."""

    def build(backbone: str) -> Segmenter:
        return Subject(methods.build("linear"), backbone).build_plain()

    return build


@pytest.fixture(scope="session")
def tuned() -> Build:
    """Builds a network with a method in it."""

    def build(backbone: str, method: Method, seed: int = 0) -> Segmenter:
        return Subject(method, backbone).build_tuned(seed)

    return build


@pytest.fixture(scope="session")
def make() -> Callable[..., Method]:
    return lambda name, **settings: methods.build(name, settings)


@pytest.fixture(scope="session")
def train_steps() -> Callable[..., list[Gradients]]:
    return train


@pytest.fixture
def vit_pair() -> ViTPair:
    return make_vit_pair()


@pytest.fixture
def swin_pair() -> SwinPair:
    return make_swin_pair()


@pytest.fixture(params=["vit_pair", "swin_pair"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return request.getfixturevalue(request.param)
