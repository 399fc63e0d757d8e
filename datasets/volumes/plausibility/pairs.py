"""Files of a case that do not belong together: equal modalities, labels beside the body."""

from collections.abc import Sequence

import numpy as np

from datasets.volumes.plausibility.intensities import Content

MOST_BACKGROUND_FRAC = 0.5  # of the voxels of a label; lesions hold air, but not for the most part


def find_copies(contents: Sequence[Content]) -> list[str]:
    """Return a sentence for each image that has the voxels of an earlier one."""
    first: dict[tuple[int, tuple[int, ...]], Content] = {}
    sentences = []
    for content in contents:
        volume = content.volume
        other = first.setdefault((content.checksum, volume.shape), content)
        if other is not content and content.found.low != content.found.high:
            where = f"{volume.path}: file of case {volume.case}"
            hint = "one modality copied over another?"
            sentences.append(f"{where} holds the same voxels as {other.volume.path} ({hint})")
    return sentences


class Overlap:
    """How much of a label is on the background of its image, in the order of the files."""

    def __init__(self, content: Content) -> None:
        self.is_background = np.concatenate(content.is_background)
        content.is_background.clear()  # large, and not needed twice
        self.n_label = 0
        self.n_outside = 0

    def add(self, where: slice, is_label: np.ndarray) -> None:
        """Add a block of the label, flat; it begins at a multiple of eight voxels."""
        packed = self.is_background[where.start // 8 : (where.stop + 7) // 8]
        outside = np.unpackbits(packed)[: is_label.size].astype(bool)
        self.n_label += int(np.count_nonzero(is_label))
        self.n_outside += int(np.count_nonzero(is_label & outside))

    def check(self, where: str) -> list[str]:
        """Return a sentence if most of the label is beside the body; ``where`` names it."""
        share = self.n_outside / max(self.n_label, 1)
        if share <= MOST_BACKGROUND_FRAC:
            return []
        hint = "are label and image flipped to each other, or of two cases?"
        return [f"{where} is for {100 * share:.0f} % on air or background of its image ({hint})"]
