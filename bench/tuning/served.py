"""Studies that workers on several machines share: over Optuna's gRPC proxy, or a database server.

The proxy serves a database to whoever reaches its port; it asks for no password.
"""

from __future__ import annotations

import os
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from filelock import SoftFileLease

from bench.specs.protocol import SpecError
from datasets.locks import hold_lock

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

GRPC = "grpc://"
SERVE = "serve"
EXTRA = "pip install 'medtuning-bench[slurm]'"
READY_S = 20.0  # for a server to answer
LEASE_S = 30.0  # without a refresh, after which the lock of a killed worker is taken over


def open_proxy(uri: str) -> BaseStorage:
    """Return the storage of a gRPC proxy at ``grpc://HOST:PORT``.

    Raises: SpecError if the address cannot be read; ImportError; ConnectionError.
    """
    host, port = read_address(uri)
    _import_grpc()  # Optuna imports it late, with a long message
    from optuna.storages import GrpcStorageProxy

    with _experimental_allowed():
        storage = GrpcStorageProxy(host=host, port=port)
    storage.wait_server_ready(READY_S)
    return storage


def find_rpc_error() -> type[Exception]:
    """Return what calls of a proxy raise; without grpcio there are none."""
    try:
        return _import_grpc().RpcError
    except ImportError:
        return ConnectionError


def _import_grpc() -> ModuleType:
    """Import grpcio; it would print at every fork of this process otherwise."""
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    import grpc

    return grpc


def read_address(uri: str) -> tuple[str, int]:
    """Return host and port of ``grpc://HOST:PORT``. Raises: SpecError if it is none."""
    host, _, port = uri.removeprefix(GRPC).rpartition(":")
    if not uri.startswith(GRPC) or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SpecError(f"--storage: must be grpc://HOST:PORT, got '{uri}'")
    return host, int(port)


def serve_storage(storage: BaseStorage, host: str = "") -> str:
    """Serve a storage from a thread of this process, and return its address.

    ``host`` is this machine's name for the workers; by default the name that it has itself.
    """
    try:
        _import_grpc()
    except ImportError:
        rule = "needs grpcio, which is not installed"
        raise SpecError(f"--storage serve: {rule} ({EXTRA})") from None
    from optuna.storages import get_storage, run_grpc_proxy_server

    cached = get_storage(storage)
    host = host or socket.gethostname()
    port = _find_port(host)

    def serve() -> None:
        with _experimental_allowed():
            run_grpc_proxy_server(cached, host=host, port=port)

    threading.Thread(target=serve, daemon=True).start()
    address = f"{GRPC}{host}:{port}"
    try:
        open_proxy(address)
    except ConnectionError:
        rule = f"this machine must be reached as '{host}', got no answer"
        raise SpecError(f"--storage serve: {rule} (--storage serve:NAME)") from None
    return address


def is_shared(storage: BaseStorage) -> bool:
    """Return whether workers on several machines may use a storage at the same time."""
    from optuna.storages import GrpcStorageProxy, RDBStorage
    from optuna.storages._cached_storage import _CachedStorage

    backend = storage._backend if isinstance(storage, _CachedStorage) else storage
    if isinstance(backend, RDBStorage):
        return backend.engine.dialect.name != "sqlite"
    return isinstance(backend, GrpcStorageProxy)


@contextmanager
def hold_study(study: Study, file: Path) -> Iterator[None]:
    """Hold the lock of a study.

    Machines that share a study may have a disk whose locks another machine does not see. There the
    lock is a file that one of them can make, and refreshes; that of a killed worker is taken over.
    """
    if not is_shared(study._storage):
        with hold_lock(file):
            yield
        return
    with SoftFileLease(file.with_name(f"{file.name}.lease"), lease_duration=LEASE_S):
        yield


def _find_port(host: str) -> int:
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            rule = f"'{host}' must be a name of this machine, got {error.strerror}"
            raise SpecError(f"--storage serve: {rule} (--storage serve:NAME)") from None
        return int(probe.getsockname()[1])


@contextmanager
def _experimental_allowed() -> Iterator[None]:
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
