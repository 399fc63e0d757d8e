"""Whether batches can be shared by several devices."""

from bench.specs.protocol import Protocol, SpecError


def check_batches(protocol: Protocol, n_devices: int) -> None:
    """Raise SpecError if a batch cannot be split evenly over so many devices."""
    batch, n_patches = protocol.train.batch, protocol.data.patches_per_epoch
    last = n_patches % batch
    if batch % n_devices:
        rule = f"train.batch must be a multiple of {n_devices}, so that each has an equal share"
        above = batch + n_devices - batch % n_devices
        raise SpecError(f"--devices: {rule}, got {batch} (--set train.batch={above})")
    if last % n_devices:
        rule = f"the last batch of an epoch must be a multiple of {n_devices} as well"
        got = f"{last} of data.patches_per_epoch={n_patches} in batches of {batch}"
        whole = n_patches + batch - last
        raise SpecError(f"--devices: {rule}, got {got} (--set data.patches_per_epoch={whole})")
