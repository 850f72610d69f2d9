"""Verified accuracy of small ReLU networks."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lapbench.attacks.base.attack import BallAttack, Candidate, Level
from lapbench.attacks.base.quantities import Count, Knowledge, Positive
from lapbench.attacks.base.target import Target
from lapbench.attacks.pgd import PGD
from lapbench.attacks.verifier.affine import affine_layers, why_not
from lapbench.attacks.verifier.milp import Verdict
from lapbench.attacks.verifier.verify import verify
from lapbench.datasets.base.validated import validated


@validated(kw_only=True)
class Verification(BallAttack):
    """For each image a proof that no input within ε is wrong, a counterexample, or a timeout.

    PGD looks for a wrong input first, then linear bounds (the better of interval bounds and CROWN)
    for a proof, then a mixed-integer linear program for either. Its numbers are the shares
    "verified", "unsafe" and "timeout". The true robust accuracy is at least the first, and at most
    the first plus the last. Prefer it to attacks where the network is small enough: softmax or svm,
    with any terms, on layers in sequence such as ``strided_cnn``. The share of timeouts depends on
    the machine.

    Args:
        epsilons: ε in the maximum norm, in units of the input.
        steps, restarts: of PGD.
        time_limit: seconds for each image and ε, after PGD.

    Source: sparse-manifold paper, section 6; Tjeng, Xiao and Tedrake, "Evaluating robustness of
    neural networks with mixed integer programming", ICLR 2019; Zhang et al., "Efficient neural
    network robustness certification with general activation functions", NeurIPS 2018 (CROWN).

    """

    knowledge: ClassVar[Knowledge] = "proof"

    norm: Literal["linf"] = "linf"
    units: Literal["input"] = "input"
    steps: Count = 40
    restarts: Count = 2
    time_limit: Positive = 10.0

    def skip(self, target: Target) -> str | None:
        """Why the network is not affine maps and ReLUs in sequence, if so."""
        return why_not(target.model)

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield for each ε the wrong inputs that were found, beside the verdicts."""
        layers = affine_layers(target.model, x.shape[1:])
        for epsilon in self.epsilons:
            attack = self._pgd([epsilon])
            attacked = torch.stack(
                [candidate.x for candidate in attack.perturb(target, x, y)], dim=1
            )
            verdicts = [
                verify(layers, image, label, epsilon, target.bounds, self.time_limit, candidate)
                for image, label, candidate in zip(x, y.tolist(), attacked, strict=True)
            ]
            yield Candidate(
                Level("epsilon", epsilon),
                _with_counterexamples(x, verdicts),
                numbers={
                    outcome: x.new_tensor([verdict.outcome == outcome for verdict in verdicts])
                    for outcome in ("verified", "unsafe", "timeout")
                },
            )

    def _pgd(self, epsilons: list[float]) -> PGD:
        return PGD(epsilons=epsilons, steps=[self.steps], restarts=self.restarts)


def _with_counterexamples(x: Tensor, verdicts: list[Verdict]) -> Tensor:
    inputs = x.clone()
    for row, verdict in enumerate(verdicts):
        if verdict.counterexample is not None:
            inputs[row] = x.new_tensor(verdict.counterexample).view_as(x[row])
    return inputs
