"""The attack of Carlini and Wagner, as the GLL paper runs it."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from lapbench.attacks.base.attack import Attack, Candidate, Level
from lapbench.attacks.base.loss import column, margins
from lapbench.attacks.base.quantities import Count, Levels, Positive, Units
from lapbench.attacks.base.tanh import TanhBox
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated


@validated(kw_only=True)
class CWGLL(Attack):
    """Few steps of Adam from the input towards the runner-up class, for given constants c.

    Minimises ‖x' − x‖₂² + c g(x') over w, with g = (max_{i≠t} F_i − F_t)⁺. The bounds hold by
    x' = low + (high − low)(tanh w + 1)/2. The target t is the second class of the clean prediction,
    for all steps. The last iterate counts, and an input that is already wrong stays as it is.

    It is weak: where a value of the input is at a bound, tanh is flat, and 100 steps of 0.005 do
    not move it. Use it to repeat the paper, and ``cw_strong`` to judge a model.

    Adam minimises the sum over the batch. It acts on each value of w alone, so this is one Adam for
    each input, unless a prediction depends on the batch.

    Args:
        constants: c, in increasing order.
        steps: of Adam.
        learning_rate: of Adam on w.
        on: what F is: ``"probabilities"``, or ``"logits"`` up to a constant that g does not see:
            the log-probabilities, which any head has. The two are different attacks.
        units: of the distance, and so of c: those of the input, or ``"normalised"``, where the
            distance is ‖(x' − x)/σ‖₂² with σ by channel as for ε. With one channel that is c σ² in
            units of the input; with several no one constant is the same, and none is needed.

    Source: GLL paper, eq. 45 and section 4.3.3 (normalised units); Carlini and Wagner, "Towards
    evaluating the robustness of neural networks", 2017.

    """

    constants: Levels
    steps: Count = 100
    learning_rate: Positive = 0.005
    on: Literal["probabilities", "logits"] = "probabilities"
    units: Units = "input"

    def skip(self, target: Target) -> str | None:
        """Skip where the inputs have no bounds."""
        return TanhBox.why_not(target)

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield the last iterates for each c."""
        with torch.no_grad():
            clean = target.log_probabilities(x)
        first, second = clean.topk(2, dim=1).indices.T
        moves = first == y
        for constant in self.constants:
            moved = self._minimise(target, x, second, moves, constant)
            yield Candidate(Level("c", constant, self.steps), moved)

    def _minimise(
        self, target: Target, x: Tensor, runner_up: Tensor, moves: Tensor, constant: float
    ) -> Tensor:
        box = TanhBox.of(target)
        scale = target.deviation if self.units == "normalised" else x.new_ones(())
        inside = column(moves, x)
        w = box.free(x).requires_grad_()
        adam = torch.optim.Adam([w], lr=self.learning_rate)
        for _ in range(self.steps):
            moved = torch.where(inside, box.inputs(w), x)
            predicted = target.log_probabilities(moved)
            values = predicted.exp() if self.on == "probabilities" else predicted
            lead = torch.relu(-margins(values, runner_up))
            distance = ((moved - x) / scale).square().flatten(1).sum(dim=1)
            objective = (distance + constant * lead)[moves].sum()  # GLL eq. 45
            target.gradients += 1
            (w.grad,) = torch.autograd.grad(objective, w)
            adam.step()
        return torch.where(inside, box.inputs(w.detach()), x)
