"""Classes and regions of a data set as the labels of nnU-Net's ``dataset.json``."""

from typing import Any

from datasets.base import DataError, DatasetInfo, Region
from datasets.nnunet.description import BACKGROUND, IGNORE


def order_regions(info: DatasetInfo) -> list[tuple[Region, int]] | None:
    """Return the regions in nnU-Net's order, each with the class that is painted for it.

    nnU-Net paints one region after the other, later ones over earlier ones. None if no such order
    gives back the classes. Reference: documentation/region_based_training.md of nnU-Net v2.
    """
    ordered = sorted(info.regions, key=lambda region: -len(region.classes))
    painted: list[tuple[Region, int]] = []
    for place, region in enumerate(ordered):
        rest = set(region.classes)
        for later in ordered[place + 1 :]:
            rest -= set(later.classes)
        if len(rest) != 1:
            return None
        painted.append((region, rest.pop()))
    for index in range(1, len(info.classes)):
        last = [label for region, label in painted if index in region.classes][-1:]
        if last != [index]:
            return None
    return painted


def describe_labels(info: DatasetInfo) -> dict[str, Any]:
    """Return the keys ``labels`` and ``regions_class_order`` of ``dataset.json``."""
    ordered = order_regions(info)
    labels: dict[str, Any] = {BACKGROUND: 0}
    if ordered is None:
        for index, name in enumerate(info.classes[1:], start=1):
            labels[name] = index
    else:
        for region, _ in ordered:
            classes = list(region.classes)
            labels[region.name] = classes if len(classes) > 1 else classes[0]
    n_expected = 1 + (len(info.classes) - 1 if ordered is None else len(ordered))
    if IGNORE in labels or len(labels) != n_expected:
        rule = f"labels must have names of their own, other than '{BACKGROUND}' and '{IGNORE}'"
        raise DataError(f"{info.name}: for nnU-Net, {rule}, got {', '.join(labels)}")
    if info.ignored_value is not None:
        labels[IGNORE] = len(info.classes)
    if ordered is None or all(len(region.classes) == 1 for region, _ in ordered):
        return {"labels": labels}
    return {"labels": labels, "regions_class_order": [label for _, label in ordered]}
