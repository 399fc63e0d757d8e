"""Where files of weights come from: the package, the hub's cache on this machine, the network."""

import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from timm.models import get_pretrained_cfg

from bench.models.weights.checkpoints import file_sha256
from datasets.processes import PROGRAM

FOLDER = Path(__file__).parent / "embedded"  # made by `bench pretrain`: weights and a card each
REMEDY = f"install the package anew, or make the file again with `{PROGRAM} pretrain`"
PATIENCE_S = 5
WAYS_OUT = (
    "run once on a machine with network and copy its cache, or give a file with --weights PATH,"
    " or start from random numbers with --weights none"
)


def fetch(tag: str, backbone: str) -> Path:
    """Return the file of timm's weights ``tag``, downloading it at most once.

    The network is asked once before a download, because the hub's own retries take half a minute.
    Raises: ValueError naming the three ways out if the file is neither here nor to be had.
    """
    config = get_pretrained_cfg(tag)
    if config is None or not config.hf_hub_id:
        raise ValueError(
            f"weights: timm has no download of {tag} (give a file with --weights PATH)"
        )
    repository, _, revision = config.hf_hub_id.partition("@")
    filename = config.hf_hub_filename or "model.safetensors"
    download = partial(hf_hub_download, repository, filename, revision=revision or None)
    with suppress(LocalEntryNotFoundError):
        return Path(download(local_files_only=True))
    try:
        if not constants.HF_HUB_OFFLINE:
            check_reachable(constants.ENDPOINT)
            return Path(download(etag_timeout=PATIENCE_S))
        reason = "HF_HUB_OFFLINE is set"
    except (OSError, HfHubHTTPError) as error:
        reason = type(error).__name__
    raise ValueError(
        f"weights: {repository} for {backbone} is not in the cache and cannot be downloaded"
        f" ({reason}): {WAYS_OUT}"
    )


def check_reachable(address: str) -> None:
    """Ask a server for any answer, through the proxy; raise an OSError if there is none in time."""
    with suppress(HTTPError):
        urlopen(Request(address, method="HEAD"), timeout=PATIENCE_S).close()


def find_embedded(name: str) -> Path:
    """Return the file of embedded weights; raise a ValueError if its SHA-256 is not its card's."""
    file = FOLDER / f"{name}.safetensors"
    start = f"weights: the embedded '{name}'"
    try:
        expected = json.loads(file.with_suffix(".json").read_bytes())["sha256"]
        found = file_sha256(file)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{start} cannot be read, got {error!r} ({REMEDY})") from None
    if found != expected:
        rule = f"must have the SHA-256 {expected[:12]}... of its card, got {found[:12]}..."
        raise ValueError(f"{start} {rule} ({REMEDY})")
    return file
