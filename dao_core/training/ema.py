"""Exponential moving average of the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """Running average of a module's parameters; early on the average is short, so that it forgets the start."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.weights = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Fold the current weights in."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = dict(module.named_parameters())
        average = [self.weights[name] for name in current]
        torch._foreach_lerp_(
            average, [p.detach().to(a) for p, a in zip(current.values(), average, strict=True)], 1 - decay
        )

    def state_dict(self) -> dict[str, Tensor | int]:
        return {"updates": self.updates, **self.weights}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Restore a saved average. Raises KeyError where a parameter is missing."""
        self.updates = int(state["updates"])
        for name, weight in self.weights.items():
            saved = state[name]
            assert isinstance(saved, Tensor)
            weight.copy_(saved)
