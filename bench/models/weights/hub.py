"""Getting published weights: from the hub's cache on this machine, or from the network if there is one."""

from __future__ import annotations

from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from timm.models import get_pretrained_cfg

FILE = "model.safetensors"
PATIENCE_S = 5


def fetch(tag: str, backbone: str) -> Path:
    """Return the file of timm's weights ``tag``, downloading it at most once.

    The network is asked once and briefly before a download, because the hub's own retries take half
    a minute.
    Raises: ValueError naming the three ways out if the file is neither here nor to be had.
    """
    config = get_pretrained_cfg(tag)
    repository, revision = _split(config.hf_hub_id if config else None, tag)
    filename = (config.hf_hub_filename if config else None) or FILE
    try:
        return Path(hf_hub_download(repository, filename, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        if not constants.HF_HUB_OFFLINE:
            _knock(constants.ENDPOINT)
            return Path(
                hf_hub_download(repository, filename, revision=revision, etag_timeout=PATIENCE_S)
            )
        reason = "HF_HUB_OFFLINE is set"
    except (OSError, HfHubHTTPError) as error:
        reason = type(error).__name__
    raise ValueError(
        f"weights: {repository} for {backbone} is not in the cache and cannot be downloaded ({reason}): run once on a "
        "machine with network and copy its cache, or give a file with --weights PATH, or start from random numbers "
        "with --weights none"
    )


def _knock(address: str) -> None:
    """Ask a server for a sign of life, through the proxy if one is set; any answer will do.

    Raises: OSError if there is none in time.
    """
    try:
        urlopen(Request(address, method="HEAD"), timeout=PATIENCE_S).close()
    except HTTPError:
        return


def _split(hub_id: str | None, tag: str) -> tuple[str, str | None]:
    if not hub_id:
        raise ValueError(
            f"weights: timm has no download of {tag} (give a file with --weights PATH)"
        )
    repository, _, revision = hub_id.partition("@")
    return repository, revision or None
