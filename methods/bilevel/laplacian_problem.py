"""The convex inner problem of bilevel learning: labels spread over a weighted graph."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from lapbench.methods.graph.sparse import EdgePattern, laplacian_product


@dataclass(frozen=True, eq=False)
class LaplacianProblem:
    r"""Laplacian regularisation with cross-entropy, to be minimised over scores Y (n, c).

    .. math:: F(Y) = \frac{1}{|V_{tr}|} \sum_{i \in V_{tr}} \ell(Y_i, y_i)
        + \frac{\lambda}{|E|} \operatorname{tr}(Y^\top L Y) + \frac{\mu}{2} \|Y\|^2

    The last summand is not in the paper. Without it there is no minimiser where the labels of a
    component lack a class: its scores there fall for ever.

    Attributes:
        pattern: the edges, each once; |E| counts them, whatever their weights.
        labeled: (m,) nodes V_tr.
        labels: (m,) their classes.
        num_classes: c.
        strength: λ.
        ridge: μ.

    Source: bilevel paper, eq. 1.

    """

    pattern: EdgePattern
    labeled: Tensor
    labels: Tensor
    num_classes: int
    strength: float = 1.0
    ridge: float = 1e-5

    def __post_init__(self) -> None:
        if not len(self.labeled):
            raise ValueError("V_tr: received no node; must be one labelled inner node or more")
        if self.ridge == 0:
            self._refuse_missing_classes()

    @cached_property
    def components(self) -> Tensor:
        """The component (n,) of every node, named by its lowest node."""
        everywhere = self.labels.new_ones(self.pattern.edge_index.shape[1], dtype=torch.bool)
        return self.pattern.components(everywhere)

    @cached_property
    def reached(self) -> Tensor:
        """Whether a path leads from V_tr to the node, (n,)."""
        return torch.isin(self.components, self.components[self.labeled])

    def without_constants(self, values: Tensor) -> Tensor:
        """Values (n, c) less their mean in each component: without a ridge F ignores it."""
        totals = values.new_zeros(len(values)).index_add_(0, self.components, values.sum(dim=1))
        sizes = self.components.bincount(minlength=len(values)) * values.shape[1]
        return values - (totals / sizes.clamp_min(1))[self.components, None]

    def _refuse_missing_classes(self) -> None:
        component = self.components[self.labeled]
        for name in component.unique():
            there = self.labels[component == name].unique()
            if len(there) < self.num_classes:
                raise ValueError(
                    f"ridge = 0: the component of node {int(name)} has inner labels of "
                    f"{len(there)} of {self.num_classes} classes, so its scores have no minimiser; "
                    "raise ridge (1e-5, say), or take the largest component"
                )

    @property
    def smoothing(self) -> float:
        """The factor 2λ/|E| of LY in the gradient of F."""
        return 2 * self.strength / max(self.pattern.edge_index.shape[1], 1)

    def energy(self, values: Tensor, weights: Tensor) -> Tensor:
        """F(Y), a scalar, differentiable any number of times in Y (n, c) and w (E,)."""
        i, j = self.pattern.edge_index
        fit = functional.cross_entropy(values.index_select(0, self.labeled), self.labels)
        squares = (values.index_select(0, i) - values.index_select(0, j)).square().sum(dim=1)
        smooth = self.smoothing / 2 * (weights * squares).sum()
        return fit + smooth + self.ridge / 2 * values.square().sum()  # Bilevel eq. 1

    def gradient(self, values: Tensor, weights: Tensor) -> Tensor:
        """∇F(Y) (n, c)."""
        labels = functional.one_hot(self.labels, self.num_classes)
        error = values.index_select(0, self.labeled).softmax(dim=1) - labels
        return self._quadratic(values, weights).index_add(0, self.labeled, error / len(labels))

    def hessian_product(self, values: Tensor, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """What multiplies a direction V (n, c) with ∇²F(Y)."""
        probabilities = values.index_select(0, self.labeled).softmax(dim=1)
        share = probabilities / len(self.labels)
        matrix = self.pattern.matrix(-self.smoothing * weights)
        own = (self.smoothing * self.degrees(weights) + self.ridge)[:, None]

        def product(direction: Tensor) -> Tensor:
            labeled = direction.index_select(0, self.labeled)
            mean = (probabilities * labeled).sum(dim=1, keepdim=True)
            quadratic = torch.addmm(own * direction, matrix, direction)
            return quadratic.index_add_(0, self.labeled, share * (labeled - mean))

        return product

    def lipschitz_constant(self, weights: Tensor) -> float:
        """An upper bound of the eigenvalues of ∇²F.

        That of the cross-entropy is at most 1/(2|V_tr|); that of L at most the largest sum of the
        degrees of two neighbours.
        """
        degrees = self.degrees(weights.detach())
        ends = degrees[self.pattern.edge_index].sum(dim=0)
        largest = float(ends.max()) if len(ends) else 0.0
        return 1 / (2 * len(self.labeled)) + self.smoothing * largest + self.ridge

    def degrees(self, weights: Tensor) -> Tensor:
        """Σ_j A_ij (n,)."""
        degrees = weights.new_zeros(self.pattern.num_nodes)
        for end in self.pattern.edge_index:
            degrees = degrees.index_add(0, end, weights)
        return degrees

    def _quadratic(self, values: Tensor, weights: Tensor) -> Tensor:
        product = laplacian_product(weights, values, self.pattern)
        return self.smoothing * product + self.ridge * values

    def diagonal(self, values: Tensor, weights: Tensor) -> Tensor:
        """The diagonal (n, c) of ∇²F(Y), 1 where a node has none."""
        probabilities = values.index_select(0, self.labeled).softmax(dim=1)
        own = self.smoothing * self.degrees(weights) + self.ridge
        fit = probabilities * (1 - probabilities) / len(self.labels)
        diagonal = own[:, None].repeat(1, self.num_classes).index_add_(0, self.labeled, fit)
        return torch.where(diagonal > 0, diagonal, 1)
