"""Models whose predictions are known by hand, and attacks that do as a test says."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import pytest
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from lapbench import discovery
from lapbench.attacks.base.attack import Attack, BallAttack, Candidate, Level
from lapbench.attacks.base.quantities import Count, Knowledge
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.task import Split, Task
from lapbench.datasets.base.validated import STRICT
from lapbench.methods.base.model import Model
from lapbench.robustness.assess import Assessment, assess
from lapbench.seeds import Seeds
from lapbench.suite.cells import PlannedAttack, Robustness
from lapbench.suite.components import Component

SEEDS = Seeds("toy", 0)
FAR = 9.0


class Toy(Model):
    """Two classes: log-probabilities of scores (n,), class 1 where they are positive.

    The margin of class 1 is the score. Notes how many samples it sees each time.
    """

    def __init__(self, score: Callable[[Tensor], Tensor]) -> None:
        super().__init__(nn.Flatten())
        self.score = score
        self.sizes: list[int] = []

    def outputs(self, features: Tensor) -> Tensor:
        score = self.score(features)
        return torch.stack([torch.zeros_like(score), score], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        return self.outputs(self.features(x)).log_softmax(dim=1)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError


def first(x: Tensor) -> Tensor:
    """A score that depends on the sample alone."""
    return x[:, 0]


def with_mean(x: Tensor) -> Tensor:
    """A score that depends on the rest of the batch."""
    return x[:, 0] / 2 + x[:, 0].mean()


def moved(x: Tensor, shifts: list[float]) -> Tensor:
    """Inputs whose first coordinates are shifted, each by its own; the shifts are repeated."""
    each = torch.tensor(shifts, dtype=x.dtype).repeat(len(x))[: len(x)]
    change = torch.zeros_like(x)
    change[:, 0] = each
    return x + change


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Shift(BallAttack):
    """Moves first coordinates, never mind ε; each list of shifts is a restart."""

    shifts: list[list[float]]

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:  # noqa: ARG002
        for epsilon in self.epsilons:
            for shifts in self.shifts:
                yield Candidate(Level("epsilon", epsilon, 1), moved(x, shifts))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Anywhere(Attack):
    """Moves first coordinates, without a ball."""

    shifts: list[list[float]]

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:  # noqa: ARG002
        for shifts in self.shifts:
            numbers = {"size": torch.tensor(shifts).abs().repeat(len(x))[: len(x)]}
            yield Candidate(Level("c", 2.0, 5), moved(x, shifts), numbers=numbers)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Chance(Anywhere):
    """The same, each list being a draw."""

    knowledge: ClassVar[Knowledge] = "chance"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Faulty(Attack):
    """Says that a faulty model has all wrong."""

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:  # noqa: ARG002
        wrong = torch.nn.functional.one_hot(1 - y.clamp_min(0), 2) + 0.1
        yield Candidate(Level("share", 0.5), x, wrong.log())


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Random(BallAttack):
    """Draws inputs of the ball, and as many numbers more as it is told."""

    draws: Count = 1

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:  # noqa: ARG002
        for epsilon in self.epsilons:
            for _ in range(self.draws):
                yield Candidate(Level("epsilon", epsilon), target.ball(x, epsilon).random())


Mistake = Literal[
    "error",
    "error when asked",
    "shape",
    "nan",
    "nothing",
    "fewer in the last batch",
    "rows of the prediction",
    "infinite prediction",
    "rows of a number",
    "changed batch",
]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Broken(Attack):
    """Makes a mistake."""

    mistake: Mistake

    def skip(self, target: Target) -> str | None:  # noqa: ARG002
        if self.mistake == "error when asked":
            raise RuntimeError("no luck")
        return None

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:  # noqa: ARG002
        level, prediction = Level("", 0.0, 1), torch.full((len(x), 2), 0.5).log()
        if self.mistake == "error":
            raise RuntimeError("no luck")
        if self.mistake == "shape":
            yield Candidate(level, x[1:])
        if self.mistake == "nan":
            yield Candidate(level, x * torch.nan)
        if self.mistake == "fewer in the last batch":
            for _ in range(len(x)):
                yield Candidate(level, x)
        if self.mistake == "rows of the prediction":
            yield Candidate(level, x, prediction[:1])
        if self.mistake == "infinite prediction":
            yield Candidate(level, x, prediction / 0)
        if self.mistake == "rows of a number":
            yield Candidate(level, x, numbers={"snr": torch.zeros(len(x) + 1)})
        if self.mistake == "changed batch":
            yield Candidate(level, x.sub_(FAR))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Inapplicable(Attack):
    """Applies to nothing."""

    def skip(self, target: Target) -> str | None:  # noqa: ARG002
        return "it is beneath it"

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        raise NotImplementedError


TOYS = {
    kind.__name__.lower(): kind
    for kind in (Shift, Anywhere, Chance, Faulty, Random, Broken, Inapplicable)
}


def offer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let attacks be found by the names of the toys too."""
    load = discovery.load

    def load_toys(kind: str, name: str) -> Any:
        return TOYS[name] if kind == "attacks" and name in TOYS else load(kind, name)

    monkeypatch.setattr(discovery, "load", load_toys)


def plan(name: str, label: str = "", **options: Any) -> PlannedAttack:
    """An attack as a suite names it."""
    return PlannedAttack(label or name, Component(name, options))


def shift(*shifts: list[float], label: str = "shift", **options: Any) -> PlannedAttack:
    """Shifts in the ball of ε = 0.5, if no others are named."""
    return plan("shift", label, **{"epsilons": [0.5], "shifts": list(shifts), **options})


def samples(first: list[float], y: list[int] | None = None) -> Split:
    """Points in the plane of given first coordinates, all of class 1."""
    x = torch.tensor([[value, 0.5] for value in first])
    return Split(x, torch.tensor(y or [1] * len(first)))


def assessed(
    split: Split,
    *attacks: PlannedAttack,
    score: Callable[[Tensor], Tensor] = first,
    bounds: tuple[float, float] | None = None,
    batch_size: int = 100,
    model: Model | None = None,
    **options: Any,
) -> Assessment:
    """What attacks make of a toy; the headline is that of ε = 0.5 in ℓ∞."""
    task = Task("toy", split, split, split, 2, bounds)
    target = Target(model or Toy(score), task, SEEDS)
    about = Robustness(**{"attacks": list(attacks), "epsilon": 0.5, **options})
    return assess(target, split, "test", about, batch_size, SEEDS)


def values(
    assessment: Assessment, label: str, metric: str = "robust_accuracy"
) -> dict[float, float]:
    """A number of an attack by its level."""
    return {m.level: m.value for m in assessment.metrics if (m.attack, m.metric) == (label, metric)}
