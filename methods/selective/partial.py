"""Partial fine-tuning: the last blocks train, the others stay frozen.

Reference: Yosinski et al., How transferable are features in deep neural networks?, NeurIPS 2014,
arXiv 1411.1792; as PARTIAL-1 in Jia et al., Visual Prompt Tuning, ECCV 2022, section 4.1.

    x_i = block_i(x_(i-1)),  block_i trains for i > L - k

with the final norm, which is behind the last block. It is `full` with another default of
``blocks``.

Our choices: ``blocks`` takes the place of k, so k = 2 is ``blocks=last_2``; blocks that train
follow training mode, their drop path included.
"""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from methods.base import Family, MethodInfo
from methods.blocks import BLOCKS, EXAMPLES
from methods.reference.full import Full
from methods.settings import setting
from methods.sites import Role


@dataclass(frozen=True)
class Partial(Full):
    """Train the last block and the final norm."""

    _: KW_ONLY
    blocks: str = setting("last_1", f"which blocks train: {EXAMPLES}", BLOCKS)

    info: ClassVar[MethodInfo] = MethodInfo(
        name="partial",
        title="Partial fine-tuning",
        paper="Yosinski et al., How transferable are features in deep neural networks?, "
        "NeurIPS 2014",
        url="https://arxiv.org/abs/1411.1792",
        roles=(Role.BLOCK,),
        identity_at_init=True,
        identity_note="nothing is inserted",
        tunes_backbone=True,
        family=Family.SELECTIVE,
        year=2014,
    )
