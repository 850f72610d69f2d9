"""A trained model as an attack sees it."""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from lapbench.attacks.base.ball import Ball, deviation
from lapbench.attacks.base.loss import column, log_likelihood
from lapbench.attacks.base.quantities import Gradient, Norm, Units
from lapbench.datasets.base.task import Task
from lapbench.errors import NotApplicableError
from lapbench.methods.base.capabilities import HasBaseSet, HasExactGradient, with_cached_base_set
from lapbench.methods.base.model import GradientKind, Model
from lapbench.seeds import Seeds

TransferSources = Callable[[str], Model]
"""From the name of a method, or the key of a record, to its model.

It raises ``NotApplicableError`` where there is none.
"""


def no_sources(name: str) -> Model:
    """Say that there is no other model."""
    raise NotApplicableError(f"there is no model {name!r} here")


class Target:
    """A trained model with fixed parameters, and what is known of its inputs.

    Attributes:
        model: in evaluation mode; its parameters require no gradient.
        task: whose samples are attacked.
        gradient_kind: of the model's own gradient.
        batch_dependent: whether the prediction of a sample may depend on the others of its batch.
        queries: predictions of batches so far.
        gradients: gradients of batches so far.

    """

    def __init__(
        self,
        model: Model,
        task: Task,
        seeds: Seeds,
        gradient_kind: GradientKind = "autograd",
        sources: TransferSources = no_sources,
        batch_dependent: bool = True,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.task = task
        self.gradient_kind = gradient_kind
        self.batch_dependent = batch_dependent
        self._seeds, self._sources = seeds, sources
        self._cached = with_cached_base_set(self.model)
        self._resampled: list[Model] = []
        self._found: dict[str, Target] = {}
        self.queries = self.gradients = 0

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Range of every input value, if there is one."""
        return self.task.bounds

    @cached_property
    def deviation(self) -> Tensor:
        """Standard deviation (1, …) of the training inputs, the unit of normalised ε."""
        return deviation(self.task.train.x)

    def ball(self, x: Tensor, epsilon: float, norm: Norm = "linf", units: Units = "input") -> Ball:
        """The inputs within ε of x (n, …) and in the bounds."""
        scale = self.deviation if units == "normalised" else x.new_ones(())
        return Ball(x, epsilon, norm, self.bounds, scale)

    def log_probabilities(self, x: Tensor, gradient: Gradient = "own") -> Tensor:
        """Log-probabilities (n, c) of a whole batch, differentiable in x."""
        self.queries += 1
        return self._predict(self._cached, x, gradient)

    def gradient(
        self, x: Tensor, y: Tensor, gradient: Gradient = "own", base_sets: int = 1
    ) -> Tensor:
        """The gradient of Σ_i −log p(y_i) in x (n, …), over the samples with y != −1.

        Where predictions depend on the batch, that of a sample includes what it does to others.
        With ``base_sets`` > 1 it is the mean over so many base sets, its own and others that are
        drawn (expectation over transformations). A prediction that cannot be differentiated has the
        gradient 0.

        """
        models = self._base_sets(base_sets) if base_sets > 1 else [self._cached]
        total = torch.zeros_like(x)
        for model in models:
            self.gradients += 1
            inputs = x.detach().requires_grad_()
            loss = -log_likelihood(self._predict(model, inputs, gradient), y).sum()
            if loss.requires_grad:
                (slope,) = torch.autograd.grad(
                    loss, inputs, allow_unused=True, materialize_grads=True
                )
                total += slope / len(models)
        return torch.where(column(y >= 0, x), total, 0.0)

    def source(self, name: str) -> "Target":
        """Another trained model to attack in its stead.

        Raises:
            NotApplicableError: if there is none.

        """
        if name not in self._found:
            self._found[name] = Target(self._sources(name), self.task, self._seeds)
        return self._found[name]

    def spent(self) -> tuple[int, int]:
        """Predictions and gradients of batches so far, those of sources too."""
        targets = [self, *self._found.values()]
        return sum(t.queries for t in targets), sum(t.gradients for t in targets)

    @property
    def has_base_set(self) -> bool:
        """Whether the model has a base set that can be drawn anew."""
        return isinstance(self.model, HasBaseSet)

    def _base_sets(self, count: int) -> list[Model]:
        if not isinstance(self.model, HasBaseSet):
            raise ValueError(f"{type(self.model).__name__} has no base set to draw anew")
        while len(self._resampled) < count - 1:
            rng = self._seeds.stream("base sets", len(self._resampled))
            other = self.model.with_resampled_base_set(self.task, rng)
            self._resampled.append(with_cached_base_set(other))
        return [self._cached, *self._resampled[: count - 1]]

    @staticmethod
    def _predict(model: Model, x: Tensor, gradient: Gradient) -> Tensor:
        if gradient == "exact" and isinstance(model, HasExactGradient):
            return model.exact(x)
        predicted: Tensor = model(x)
        return predicted
