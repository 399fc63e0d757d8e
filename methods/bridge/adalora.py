"""What AdaLoRA does beside its layers: it moves rank between them, and keeps A and B orthogonal.

Reference: Zhang et al., Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning, ICLR 2023,
arXiv 2303.10512, sections 3.1 and 3.2.

peft adds the penalty to models of transformers alone, so it is computed here.
"""

from typing import Any

import torch
from peft.tuners._buffer_dict import BufferDict
from torch import nn


class Allocator(nn.Module):
    """Settles the ranks, step by step; it is in one of the layers, and knows all of them."""

    step: torch.Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = (model,)  # in a tuple, so that its layers are not ours as well
        self.config = model.peft_config["default"]
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        for layer in model.model.values():
            # a constant that peft declares as a parameter
            layer.ranknum = BufferDict({"default": layer.ranknum["default"].detach().clone()})

    def extra_loss(self) -> torch.Tensor | None:
        """Return the weight times the mean of |A A^T - I| and |B^T B - I| over all layers."""
        distances = []
        for layer in self.model[0].model.values():
            a, b = layer.lora_A["default"], layer.lora_B["default"]
            for product in (a @ a.T, b.T @ b):
                identity = torch.eye(len(product), dtype=product.dtype, device=product.device)
                distances.append(torch.linalg.matrix_norm(product - identity))
        return self.config.orth_reg_weight * torch.stack(distances).mean()

    def after_step(self, lr: float) -> None:
        """Mask the least important singular values; the gradients of the step are still there."""
        self.step += 1
        self.model[0].update_and_allocate(int(self.step))
