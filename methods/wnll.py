"""The weighted nonlocal Laplacian as output activation."""

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from lapbench.datasets._task import Split, Task
from lapbench.methods._base_set import order_by_class, parts_with_all_classes
from lapbench.methods._graph_learning_layer import GraphLearningLayer, log_probabilities
from lapbench.methods._protocol import Budget, GradientKind, Head, Model, Phase
from lapbench.methods._rounds import alternating_budgets
from lapbench.methods._wnll_metrics import gradient_cosines, majority_vote
from lapbench.methods.graph import NeighborBandwidth, weighted_nonlocal
from lapbench.methods.softmax import cross_entropy

PositiveInteger = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class WNLL(Head):
    r"""Weighted nonlocal Laplacian: interpolates labels, trained through a linear surrogate.

    A buffer (linear layer and ReLU) follows the backbone and feeds two branches: a linear layer Ỹ,
    and the interpolation Ŷ of the labels of a template by the weighted nonlocal Laplacian (eq. 5)
    on the graph of (m, n)-nearest neighbours. Training alternates, N rounds of two stages: the
    linear branch with all weights, then the interpolation with the weights of the buffer alone. In
    the second the gradient of the cross-entropy in the buffer's outputs X̂ is

    .. math:: G_{\hat X} = \frac1b (\operatorname{softmax}(\hat Y) - Y) W_L

    for the b interpolated samples and 0 for the template: the derivative at Ỹ := Ŷ, taken back
    through the linear branch (eq. 13). As Ŷ are probabilities already, this loss has the floor
    log(e + c − 1) − 1; the log-likelihood in the tables is that of Ŷ itself.

    On digits the two gradients in the buffer's weights point apart (their cosine, a metric, is
    negative): the exact one also acts through the template, which the surrogate leaves out.

    Half of the labelled training samples, drawn in each round, are template; an epoch uses
    ``template_batch_size`` of them and trains on the other half. For prediction all labelled
    training samples are, in batches that each hold every class in proportion: the probability is
    the mean over them, and the paper's majority vote a metric. Unlabelled training samples join
    the graph in prediction (semi-supervised learning, approach I).

    Args:
        k: m, true neighbours of every node; the paper's m counts the node itself.
        bandwidth_rank: n; the distance to the n-th neighbour is the bandwidth. Likewise.
        label_weight: weight of the labels, |X|/|X_te| − 1 (``"ratio - 1"``, eq. 5) or |X|/|X_te|
            (``"ratio"``, the authors' code); on the pixels of MNIST 97.2 % and 97.6 % (figures at
            the graph equation ``WNLL``; suite ``wnll-table2``).
        gradient: of the second stage, ``"surrogate"``, or ``"exact"`` by the adjoint equation. It
            is also that of predictions: the gradient of their negative log-likelihood in an input
            is then the surrogate's too (eq. 24).
        rounds: N; with 0 there is no buffer and no training, and the backbone's features are
            interpolated as they are.
        wnll_share: share of the epochs that the second stages have together, one a round at least.
        wnll_batch_size: samples per step of the second stage.
        wnll_learning_rate: of the second stage, constant.
        round_factor: what each round multiplies the budget's learning rate of the first stage by.
        template_batch_size: labelled samples in a graph at most, or ``"all"``; more where a rare
            class would otherwise be missing from one of them.

    Source: WNLL paper, sections 2 and 3.1 to 3.3, algorithms 1 and 2. Its section 4 has (m, n) =
    (30, 15), N = 2, the factor 1/5, and 400 and 5 epochs a round with batches of 128 and 2,000 and
    rates of 0.05 and 0.0005 (stochastic gradient descent); the defaults here are for small data.

    """

    k: PositiveInteger = 10
    bandwidth_rank: PositiveInteger = 5
    label_weight: Literal["ratio - 1", "ratio"] = "ratio - 1"
    gradient: Literal["surrogate", "exact"] = "surrogate"
    rounds: Annotated[int, Field(ge=0)] = 1
    wnll_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    wnll_batch_size: PositiveInteger = 500
    wnll_learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5e-4
    round_factor: Annotated[float, Field(gt=0, le=1)] = 0.2
    template_batch_size: PositiveInteger | Literal["all"] = 500

    batch_dependent: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check(self) -> "WNLL":
        if self.bandwidth_rank > self.k:
            raise ValueError(
                f"bandwidth_rank = {self.bandwidth_rank} is above k = {self.k}; lower it too"
            )
        return self

    @property
    def gradient_kind(self) -> GradientKind:
        """The gradient of the second stage; exact where there is no linear branch to lend one."""
        return self.gradient if self.rounds else "exact"

    def build(self, backbone: nn.Module, task: Task) -> Model:
        """Return the backbone with buffer, linear branch and interpolating branch.

        Raises:
            ValueError: if a class has no labelled training sample, or only one for training.

        """
        counts = task.train.y[task.train.y >= 0].bincount(minlength=task.num_classes)
        needed = 2 if self.rounds else 1
        if int(counts.min()) < needed:
            raise ValueError(
                f"wnll: class {int(counts.argmin())} of {task.name} has {int(counts.min())} "
                f"labelled training samples; accepted are {needed} or more, for the template and "
                "outside it"
            )
        return _WNLLModel(backbone, self, task)


class _WNLLModel(Model):
    def __init__(self, backbone: nn.Module, head: WNLL, task: Task) -> None:
        super().__init__(backbone)
        size = int(backbone.feature_size)  # type: ignore[arg-type]
        buffer = [nn.Linear(size, size), nn.ReLU()] if head.rounds else []
        self.buffer = nn.Sequential(*buffer)
        self.linear = nn.Linear(size, task.num_classes)
        self.head = head
        equation = weighted_nonlocal.WNLL(head.label_weight)
        kernel = NeighborBandwidth(head.bandwidth_rank)
        self.interpolation = GraphLearningLayer(head.k, equation, kernel=kernel)
        self.num_classes = task.num_classes
        self.branch: Literal["linear", "wnll"] = "wnll"
        self.samples = task.train
        self.template_half: Tensor | None = None
        none = torch.empty(0, dtype=torch.int64)
        self._set_graph(none, none)

    def _set_graph(self, template: Tensor, unlabeled: Tensor) -> None:
        """Fix by rows of the training samples what is in the graph beside the batch."""
        self.rows = {"template": template, "unlabeled": unlabeled}
        self.template = Split(self.samples.x[template], self.samples.y[template])
        self.unlabeled = self.samples.x[unlabeled]

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = self.buffer(self.backbone(x))
        return features

    def interpolate(self, features: Tensor, template: Split) -> Tensor:
        """Return Ŷ (n, c) at features from a template, with its exact gradient."""
        labels = functional.one_hot(template.y, self.num_classes).to(features.dtype)
        nodes = [self.features(template.x), features]
        if len(self.unlabeled):
            nodes.append(self.features(self.unlabeled))
        values: Tensor = self.interpolation(torch.cat(nodes), labels)
        return values[: len(features)]

    def _template_values(self, features: Tensor) -> list[Tensor]:
        """Return Ŷ (n, c) from each batch of the template."""
        x, y = self.template.x, self.template.y
        parts = parts_with_all_classes(y, self.head.template_batch_size)
        return [self.interpolate(features, Split(x[part], y[part])) for part in parts]

    def _mean(self, features: Tensor) -> Tensor:
        return torch.stack(self._template_values(features)).mean(dim=0)

    def _surrogate(self, features: Tensor) -> Tensor:
        """Return the mean Ŷ with the gradient of the linear branch."""
        with torch.no_grad():
            values = self._mean(features)
        linear: Tensor = self.linear(features)
        return values + (linear - linear.detach())

    def outputs(self, features: Tensor) -> Tensor:
        if self.branch == "linear":
            logits: Tensor = self.linear(features)
            return logits
        exact = self.head.gradient_kind == "exact"
        return self._mean(features) if exact else self._surrogate(features)

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.outputs(self.features(x))
        if self.branch == "linear":
            return torch.log_softmax(outputs, dim=1)
        if self.head.gradient_kind == "exact":
            return log_probabilities(outputs)
        surrogate = torch.log_softmax(outputs, dim=1)
        return log_probabilities(outputs.detach()) + (surrogate - surrogate.detach())

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(self.outputs(self.features(x)), y)

    def phases(self, budget: Budget) -> list[Phase]:
        head = self.head
        if head.rounds == 0 or budget.epochs == 0:
            return []
        phases = []
        for first, second in alternating_budgets(
            budget, head.rounds, head.wnll_share, head.round_factor
        ):
            wnll = replace(
                second,
                batch_size=head.wnll_batch_size,
                learning_rate=head.wnll_learning_rate,
                schedule="constant",
            )
            phases += [
                Phase("linear", first, list(self.parameters())),
                Phase("wnll", wnll, list(self.buffer.parameters())),
            ]
        return phases

    def start_phase(self, phase: Phase) -> None:
        self.branch = "linear" if phase.name == "linear" else "wnll"
        self.template_half = None

    def start_epoch(self, task: Task, rng: np.random.Generator) -> Tensor:
        if self.branch == "linear":
            return torch.empty(0, dtype=torch.int64)
        order = order_by_class(task.train.y, rng)
        if self.template_half is None:
            self.template_half = order[::2]
        half = order[torch.isin(order, self.template_half)]
        first, *_ = parts_with_all_classes(task.train.y[half], self.head.template_batch_size)
        self._set_graph(half[first], half[:0])
        return self.template_half

    def finish(self, task: Task, rng: np.random.Generator) -> None:
        self.branch = "wnll"
        unknown = (task.train.y < 0).nonzero()[:, 0]
        self._set_graph(order_by_class(task.train.y, rng), unknown)

    def measure(self, split: Split, batch_size: int) -> dict[str, float]:
        """Return the vote where the template has several batches, and the gradients' cosines.

        Without a trained linear branch there is no surrogate to compare.
        """
        batches = list(zip(split.x.split(batch_size), split.y.split(batch_size), strict=True))
        found = {}
        if len(parts_with_all_classes(self.template.y, self.head.template_batch_size)) > 1:
            with torch.no_grad():
                given = [majority_vote(self._template_values(self.features(x))) for x, _ in batches]
            right = torch.cat(given) == split.y
            found["majority_vote_accuracy"] = float(right.double().mean())
        if self.head.rounds:
            losses = (self._both_losses(x, y) for x, y in batches)
            found |= gradient_cosines(losses, next(self.buffer.parameters()))
        return found

    def _both_losses(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the summed loss with exact and with surrogate gradient, and the features X̂."""
        features = self.features(x)
        exact, surrogate = self._mean(features), self._surrogate(features)
        return len(y) * cross_entropy(exact, y), len(y) * cross_entropy(surrogate, y), features

    def get_extra_state(self) -> dict[str, Tensor]:
        return self.rows

    def set_extra_state(self, state: Any) -> None:
        self._set_graph(**state)
