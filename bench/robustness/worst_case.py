"""The worst case over all attacks: what no attack changed, sample by sample."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lapbench.attacks.base.attack import Attack, BallAttack, Level
from lapbench.attacks.base.loss import column, margins
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.task import Split
from lapbench.robustness.candidate import EvaluatedCandidate
from lapbench.suite.cells import Robustness

ALONE = 100


class WorstCase:
    """Which samples of a batch stay right in the balls of some radii, whatever attack was run.

    What an attack found within ε counts at every larger radius too. What it found elsewhere (in
    another norm, or without a ball) is moved into each ball and predicted again. Samples that are
    wrong without any attack are wrong throughout.

    Attributes:
        right: by radius, whether each sample of known class is right under every attack.
        right_by_gradients: likewise, under the attacks that follow the model's own gradient.
        by_attack: by the label of each attack, which stay right in the ball of the headline.

    """

    def __init__(
        self, target: Target, batch: Split, radii: Sequence[float], about: Robustness
    ) -> None:
        self._target, self._batch, self._about = target, batch, about
        clean = EvaluatedCandidate.unattacked(target, batch)
        self.right = {radius: clean.right() for radius in radii}
        self.right_by_gradients = {radius: clean.right() for radius in radii}
        self.by_attack: dict[str, Tensor] = {}
        self._x, self._margin = batch.x.clone(), margins(clean.log_probabilities, batch.y)

    def add(self, label: str, attack: Attack, candidate: EvaluatedCandidate) -> None:
        """Count what an attack made of the batch; a change of the model does not count."""
        if candidate.changed_model:
            return
        within = isinstance(attack, BallAttack) and self._about.is_ball_of(attack)
        for radius in self.right:
            if within and candidate.level.value == radius:
                self._count(radius, label, attack, candidate)
            elif not within:
                ball = self._target.ball(self._batch.x, radius, self._about.norm, self._about.units)
                self._count(radius, label, attack, self._predict(ball.project(candidate.x)))

    def _count(
        self, radius: float, label: str, attack: Attack, candidate: EvaluatedCandidate
    ) -> None:
        """Count what lies in the ball of a radius, and so in all larger ones."""
        headline, right = self._about.epsilon, candidate.right()
        for larger in self.right:
            if larger >= radius:
                self.right[larger] &= right
                if attack.follows_own_gradient:
                    self.right_by_gradients[larger] &= right
        if headline is not None and radius <= headline:
            self.by_attack[label] = right & self.by_attack.get(label, right)
            margin = margins(candidate.log_probabilities, self._batch.y)
            smaller = margin < self._margin
            self._margin = torch.where(smaller, margin, self._margin)
            self._x = torch.where(column(smaller, candidate.x), candidate.x, self._x)

    @torch.no_grad()
    def _predict(self, x: Tensor) -> EvaluatedCandidate:
        return EvaluatedCandidate(Level(), self._batch, x, self._target.log_probabilities(x), {})

    def checked(self) -> EvaluatedCandidate:
        """The batch in which all samples have their worst candidate at once.

        That is the one with the smallest margin in the ball of the headline.
        """
        return self._predict(self._x)

    def one_at_a_time(self) -> Tensor:
        """Which samples of known class are right, each alone attacked among clean ones.

        Of a larger batch, a hundred spread evenly over it stand for all, as each costs a prediction
        of the batch. Where a prediction does not depend on the others, it is that of all at once.
        """
        if not self._target.batch_dependent:
            return self.checked().right()
        rows = (self._batch.y >= 0).nonzero()[:, 0]
        count = min(len(rows), ALONE)
        rows = rows[((torch.arange(count, device=rows.device) + 0.5) * len(rows) / count).long()]
        right = []
        for row in rows:
            x = self._batch.x.clone()
            x[row] = self._x[row]
            predicted = self._predict(x).log_probabilities[row].argmax()
            right.append(predicted == self._batch.y[row])
        return torch.stack(right)
