"""The graph learning layer: a graph equation as the classifier."""

import warnings
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from lapbench.datasets._task import Split, Task
from lapbench.methods._protocol import GradientKind, Head, Model
from lapbench.methods._stages import StagedPass
from lapbench.methods.graph import (
    Equation,
    FixedBandwidth,
    Kernel,
    Laplace,
    SelfTuning,
    Status,
    knn_graph,
    solve_graph_equation,
)

_FLOOR = 1e-8

Bandwidth = Literal["self-tuning"] | Annotated[float, Field(ge=1e-12, le=1e12)]


class GraphLearningLayer(nn.Module):
    """Classify features by solving a graph equation; a layer without parameters.

    Prefer it to a linear classifier where neighbours in feature space say more than half-spaces
    do, and where its cost (a neighbour search and a sparse solve per batch) is affordable. A
    prediction depends on all the features of the call, so keep batches fixed when you evaluate.

    Args:
        k: true neighbours per node; the GLL paper's 25 counts the node itself and is 24 here.
        equation: graph equation with the labels as boundary values, by default Laplace learning.
        bandwidth: ``"self-tuning"``, or one positive number for all nodes.
        kernel: another weight of edges; the bandwidth then plays no part.

    Raises:
        ValueError: if k is no integer >= 1, or the bandwidth is neither "self-tuning" nor a number
            from 1e-12 to 1e12.

    Source: GLL paper, sections 2.1, 2.4 and 3.

    """

    def __init__(
        self,
        k: int = 25,
        equation: Equation | None = None,
        bandwidth: float | Literal["self-tuning"] = "self-tuning",
        kernel: Kernel | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(k, int) or k < 1:
            raise ValueError(f"k: received {k!r}; accepted is an integer >= 1")
        if bandwidth != "self-tuning" and type(bandwidth) not in (int, float):
            raise ValueError(
                f"bandwidth: received {bandwidth!r}; accepted are 'self-tuning' and numbers"
            )
        self.k = k
        self.equation = equation or Laplace()
        radial = SelfTuning() if isinstance(bandwidth, str) else FixedBandwidth(bandwidth)
        self.kernel = kernel or radial

    def forward(self, features: Tensor, base_labels: Tensor) -> Tensor:
        """Return u (q, c) at the unlabelled rows, differentiable in features and base labels.

        Args:
            features: (m + q, d) floating point, the m labelled rows first.
            base_labels: (m, c) finite real numbers, one-hot rows for classification.

        Raises:
            NonFiniteError: if a feature or label is NaN or infinite.
            ValueError: if shapes do not fit.

        Warns:
            RuntimeWarning: if the solve ends with a status other than ``CONVERGED``.

        """
        if not 1 <= len(base_labels) <= len(features):
            raise ValueError(
                f"base_labels: received {len(base_labels)} rows for {len(features)} features; "
                "accepted is at least one labelled row, the labelled features standing first"
            )
        symmetrize: Literal["max"] | None = None if self.equation.directed else "max"
        graph = knn_graph(features, self.k, self.kernel, symmetrize=symmetrize)
        labeled = torch.arange(len(base_labels), device=features.device)
        solution = solve_graph_equation(graph, base_labels, labeled, self.equation)
        if solution.status is not Status.CONVERGED:
            warnings.warn(f"graph equation {solution.status.value}", RuntimeWarning, stacklevel=2)
        return solution.values[len(base_labels) :]


def log_probabilities(values: Tensor) -> Tensor:
    """Return log(max(u, 1e-8) / Σ_c max(u, 1e-8)) row by row, (n, c) to (n, c).

    With τ > 0 the rows of u do not sum to 1, so u itself is not a probability. The order of the
    classes is that of u.
    """
    clamped = values.clamp_min(_FLOOR)
    return clamped.log() - clamped.sum(dim=1, keepdim=True).log()


def value_loss(values: Tensor, labels: Tensor) -> Tensor:
    """Return the layer's training loss −mean log(u_y + 1e-8), for u (n, c) and classes (n,).

    On u itself, not on probabilities: normalising u first would remove much of what τ does. Rows
    with class −1 are ignored; without any other the loss is 0.

    Source: the GLL authors' code.
    """
    known = labels >= 0
    # Rounding can make a u that is 0 slightly negative.
    predicted = values[known].gather(1, labels[known, None]).clamp_min(0)
    return -(predicted + _FLOOR).log().sum() / max(int(known.sum()), 1)


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class GLL(Head):
    """Graph learning layer: a graph PDE as the classifier, with exact adjoint gradients.

    Labelled base samples and the batch are nodes of a k-nearest-neighbour graph of their features;
    Laplace learning from the base labels predicts the batch. The training loss is
    :func:`value_loss`.

    Args:
        k: true neighbours per node; the paper's 25 counts the node itself.
        tau: τ >= 0 in τu + Δu = 0; larger values cluster the features more tightly.
        bandwidth: ``"self-tuning"``, or one positive number.
        base_per_class: labelled samples per class while training.
        evaluation_base_per_class: labelled samples per class for prediction, or ``"all"`` of the
            training data.
        base_update: draw the training base set anew in each epoch (``"random"``), or keep that of
            the first (``"fixed"``).

    Source: GLL paper, sections 2 and 3; loss and normalisation as in the authors' code.

    """

    gradient_kind: ClassVar[GradientKind] = "exact"

    k: Annotated[int, Field(ge=1)] = 25
    tau: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    bandwidth: Bandwidth = "self-tuning"
    base_per_class: Annotated[int, Field(ge=1)] = 10
    evaluation_base_per_class: Annotated[int, Field(ge=1)] | Literal["all"] = "all"
    base_update: Literal["random", "fixed"] = "random"

    def build(self, backbone: nn.Module, task: Task) -> Model:
        """Return the backbone followed by the graph learning layer.

        Raises:
            ValueError: if a class has too few training samples for the base sets.

        """
        smallest = int(task.train.y[task.train.y >= 0].bincount(minlength=task.num_classes).min())
        if self.base_per_class >= smallest:
            raise ValueError(
                f"base_per_class: received {self.base_per_class}, but the smallest class of "
                f"{task.name} has {smallest} training samples, and some must stay outside the "
                f"base set; accepted are 1..{smallest - 1}"
            )
        if self.evaluation_base_per_class != "all" and self.evaluation_base_per_class > smallest:
            raise ValueError(
                f"evaluation_base_per_class: received {self.evaluation_base_per_class}, but the "
                f"smallest class of {task.name} has {smallest} training samples; accepted are "
                f"1..{smallest} and 'all'"
            )
        return _GLLModel(backbone, self, task)


class _GLLModel(Model):
    def __init__(self, backbone: nn.Module, head: GLL, task: Task) -> None:
        super().__init__(backbone)
        self.head = head
        self.num_classes = task.num_classes
        self.base = Split(task.train.x[:0], task.train.y[:0])
        self.layer = GraphLearningLayer(head.k, Laplace(head.tau), head.bandwidth)
        self.base_rows: Tensor | None = None

    def solve(self, x: Tensor) -> Tensor:
        """Return u (n, c) at the inputs x, the base set being labelled."""
        features = self.features(torch.cat([self.base.x, x]))
        labels = functional.one_hot(self.base.y, self.num_classes).to(x.dtype)
        values: Tensor = self.layer(features, labels)
        return values

    def forward(self, x: Tensor) -> Tensor:
        values = self.solve(x)
        # With τ > 0 a node that no label reaches has u = 0: all that is known is the label mean.
        mean = self.base.y.bincount(minlength=self.num_classes) / len(self.base)
        unreached = (values == 0).all(dim=1, keepdim=True)
        return log_probabilities(torch.where(unreached, mean.to(values.dtype), values))

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return value_loss(self.solve(x), y)

    def start_epoch(self, task: Task, rng: np.random.Generator) -> Tensor:
        if self.base_rows is None or self.head.base_update == "random":
            self.base_rows = _draw_per_class(task.train.y, self.head.base_per_class, rng)
            self.base = Split(task.train.x[self.base_rows], task.train.y[self.base_rows])
        return self.base_rows

    def finish(self, task: Task, rng: np.random.Generator) -> None:
        rows = _draw_per_class(task.train.y, self.head.evaluation_base_per_class, rng)
        self.base = Split(task.train.x[rows], task.train.y[rows])

    def stages(self, task: Task) -> dict[str, Callable[[], None]]:
        with torch.no_grad():
            features = self.features(task.train.x)
        staged = StagedPass(features, task.train.y, self.num_classes)
        layer = self.layer
        return staged.stages(layer.k, layer.kernel, layer.equation, value_loss)

    def get_extra_state(self) -> dict[str, Tensor]:
        return {"x": self.base.x, "y": self.base.y}

    def set_extra_state(self, state: Any) -> None:
        self.base = Split(state["x"], state["y"])


def _draw_per_class(y: Tensor, count: int | Literal["all"], rng: np.random.Generator) -> Tensor:
    """Return ``count`` random rows of each known class, or all of them, in ascending order."""
    chosen = []
    for label in y[y >= 0].unique():
        rows = (y == label).nonzero()[:, 0]
        take = len(rows) if count == "all" else count
        chosen.append(rows[torch.from_numpy(rng.permutation(len(rows))[:take]).to(rows.device)])
    return torch.cat(chosen).sort().values
