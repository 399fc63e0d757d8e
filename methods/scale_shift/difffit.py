"""DiffFit: biases and norms train, and a scale behind both branches of every block.

Reference: Xie et al., DiffFit: Unlocking Transferability of Large Diffusion Models via Simple
Parameter-Efficient Fine-Tuning, ICCV 2023, arXiv 2304.06648, section 3.2.

    x = x + gamma_1 * attention(LN(x)),   x = x + gamma_2 * MLP(LN(x)),   gamma starts at 1

All biases and all scales of norms train beside gamma, which has one value a channel.

Our choices: gamma is behind the last layer of its branch, where it folds into that layer's weights;
in front of a backbone's own layer scale it commutes with it.
"""

from dataclasses import dataclass
from typing import ClassVar

from methods import surgery
from methods.base import Family, Method, MethodInfo
from methods.scale_shift.ssf import ScaleShift, count_channels
from methods.selective.bitfit import list_biases
from methods.selective.norm import list_norms
from methods.sites import HasSites, Role

ENDS = (Role.PROJ, Role.FC2)


@dataclass(frozen=True)
class DiffFit(Method):
    """Biases, norms and a scale of every branch."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="difffit",
        title="DiffFit",
        paper="Xie et al., DiffFit: Unlocking Transferability of Large Diffusion Models, ICCV 2023",
        url="https://arxiv.org/abs/2304.06648",
        roles=ENDS,
        identity_at_init=True,
        identity_note="the scales start at 1",
        mergeable=True,
        tunes_backbone=True,
        family=Family.SCALE_SHIFT,
        year=2023,
    )

    def inject(self, backbone: HasSites) -> None:
        chosen = self.choose_blocks(backbone)
        surgery.thaw(list_biases(backbone, chosen))
        surgery.thaw(list_norms(backbone, chosen))
        for site in self.find_sites(backbone, *ENDS):
            surgery.replace(site, ScaleShift(site.module, count_channels(site), shift=False))

    def expected_tuned(self, backbone: HasSites) -> int:
        """Return all biases (11 E a block), all scales of norms (2 E a block), and 2 E a block."""
        chosen = self.choose_blocks(backbone)
        thawed = {*list_biases(backbone, chosen), *list_norms(backbone, chosen)}
        scales = sum(count_channels(site) for site in self.find_sites(backbone, *ENDS))
        return scales + sum(parameter.numel() for parameter in thawed)
