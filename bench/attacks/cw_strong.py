"""The attack of Carlini and Wagner with all that makes it strong."""

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lapbench.attacks.base.attack import Attack, Candidate, Level
from lapbench.attacks.base.loss import column, margins
from lapbench.attacks.base.quantities import Count, Positive
from lapbench.attacks.base.tanh import TanhBox
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated


@validated(kw_only=True)
class CWStrong(Attack):
    """The shortest change that Adam finds to make an input wrong; searches the constant c.

    Minimises ‖x' − x‖₂² + c max(m(x'), −κ) over w, with x' = low + (high − low)(tanh w + 1)/2. The
    margin m = log p_y − max_{j≠y} log p_j is also that of logits. Each input has its own c: 10
    times the last while nothing is found, then the middle of the largest that failed and the
    smallest that did not. The nearest of all iterates with m < −κ counts; if there is none, the one
    of the smallest margin does. An input that is already wrong stays as it is.

    Where predictions depend on the batch, an iterate was wrong in the batch of its step. The
    nearest iterates come from different steps, and in their common batch many are right again,
    because they were barely wrong. Use a confidence for such a model; without one, a high accuracy
    is no proof.

    Args:
        steps: of Adam for each constant.
        learning_rate: of Adam on w.
        searches: constants tried for each input.
        constant: the first c.
        confidence: κ ≥ 0, the margin by which a prediction must be wrong.

    Source: Carlini and Wagner, "Towards evaluating the robustness of neural networks", 2017,
    sections V and VI.

    """

    steps: Count = 1000
    learning_rate: Positive = 0.05
    searches: Count = 5
    constant: Positive = 1.0
    confidence: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    def skip(self, target: Target) -> str | None:
        """Skip where the inputs have no bounds."""
        return TanhBox.why_not(target)

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield the nearest wrong inputs."""
        with torch.no_grad():
            right = target.log_probabilities(x).argmax(dim=1) == y
        best = _Best(x, self.confidence)
        constants = x.new_full((len(x),), self.constant)
        low, high = torch.zeros_like(constants), torch.full_like(constants, torch.inf)
        for _ in range(self.searches):
            fooled = self._minimise(target, x, y, right, constants, best)
            high = torch.where(fooled, constants, high)
            low = torch.where(fooled, low, constants)
            constants = torch.where(high.isfinite(), (low + high) / 2, 10 * constants)
        yield Candidate(Level("", 0.0, self.steps), best.inputs)

    def _minimise(
        self, target: Target, x: Tensor, y: Tensor, right: Tensor, constants: Tensor, best: "_Best"
    ) -> Tensor:
        """Which inputs (n,) some iterate made wrong."""
        box, moves = TanhBox.of(target), column(right, x)
        w = box.free(x).requires_grad_()
        adam = torch.optim.Adam([w], lr=self.learning_rate)
        fooled = torch.zeros_like(right)
        for left in reversed(range(self.steps + 1)):
            moved = torch.where(moves, box.inputs(w), x)
            margin = margins(target.log_probabilities(moved), y)
            distance = (moved - x).square().flatten(1).sum(dim=1)
            fooled |= best.record(moved.detach(), margin.detach(), distance.detach(), right)
            if left:
                objective = distance + constants * margin.clamp_min(-self.confidence)  # WNLL eq. 20
                target.gradients += 1
                (w.grad,) = torch.autograd.grad(objective[right].sum(), w)
                adam.step()
        return fooled


class _Best:
    """For each input the nearest wrong iterate, or the one of the smallest margin.

    Attributes:
        inputs: (n, …) the iterates.

    """

    def __init__(self, x: Tensor, confidence: float) -> None:
        self.inputs = x
        self._confidence = confidence
        self._distance = x.new_full((len(x),), torch.inf)
        self._margin = x.new_full((len(x),), torch.inf)

    def record(self, moved: Tensor, margin: Tensor, distance: Tensor, right: Tensor) -> Tensor:
        """Take in the iterates of a batch; return which are wrong by the confidence (n,)."""
        fooled = right & (margin < -self._confidence)
        nearer = fooled & (distance < self._distance)
        closer = right & self._distance.isinf() & ~fooled & (margin < self._margin)
        self.inputs = torch.where(column(nearer | closer, moved), moved, self.inputs)
        self._distance = torch.where(nearer, distance, self._distance)
        self._margin = torch.where(closer, margin, self._margin)
        return fooled
