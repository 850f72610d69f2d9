"""Poisson learning."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lapbench.methods.graph.equation import (
    Equation,
    Problem,
    component_mean,
    constant_labels,
    disconnected,
)
from lapbench.methods.graph.laplacian import SimilarityGraph
from lapbench.methods.graph.operators import LinearOperator
from lapbench.methods.graph.status import Status, worst


@dataclass(frozen=True)
class Poisson(Equation):
    r"""Poisson learning: Δu = Σ (g − ḡ) δ_x over the labelled nodes, plus f.

    Prefer it at very low label rates. Labels are sources and sinks, not boundary values: u is not g
    on them, has mean zero in every component, and rows of one-hot labels sum to 0 with negative
    entries. ḡ is the mean over the labelled nodes of the component, and f is taken without its mean
    there. A component without a labelled node has u = 0 where f = 0.

    Args:
        normalisation: ``"none"`` for Σ u = 0, ``"degree"`` for Σ deg·u = 0 as in Calder, Cook,
            Thorpe, Slepčev (ICML 2020), which may change the largest class of a node.

    Raises:
        ValueError: if the normalisation is another.

    Source: GLL paper, section 2.6 (the ½ that makes its eq. 18 the variational form is missing).

    """

    normalisation: Literal["none", "degree"] = "none"

    def __post_init__(self) -> None:
        if self.normalisation not in ("none", "degree"):
            raise ValueError(
                f"normalisation: received {self.normalisation!r}; must be 'none' or 'degree'"
            )

    def pose(
        self, graph: SimilarityGraph, labels: Tensor, labeled: Tensor, source: Tensor
    ) -> Problem:
        """Pose it with one node of each component held at 0."""
        component = graph.components()
        degrees = graph.degrees()
        ones = torch.ones_like(degrees)
        weights = degrees if self.normalisation == "degree" else ones
        at_labels = component[labeled]
        total = source - component_mean(source, component, ones)
        centered = labels - component_mean(labels, at_labels, ones[labeled])
        # Up to a constant in each component, u is that with one node held at 0.
        free = torch.ones_like(component, dtype=torch.bool)
        free[_heaviest(degrees.detach(), component)] = False
        return Problem(
            graph,
            free,
            given=torch.zeros_like(source),
            source=total.index_add(0, labeled, centered),  # GLL eq. 18
            operators=[LinearOperator(0.0)],
            status=_known_status(labels, at_labels, component),
            finish=lambda values: values - component_mean(values, component, weights),
        )


def _heaviest(degrees: Tensor, component: Tensor) -> Tensor:
    """Node of the largest degree in every component, the first of several."""
    order = degrees.argsort(descending=True, stable=True)
    order = order[component[order].argsort(stable=True)]
    ordered = component[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return order[first]


def _known_status(labels: Tensor, at_labels: Tensor, component: Tensor) -> Status:
    constant = constant_labels(labels, at_labels, len(component)).all(dim=1)
    reached = torch.zeros_like(constant)
    reached[at_labels] = True
    statuses = [disconnected(reached[component])]
    if bool(constant.any()):
        statuses.append(Status.DEGENERATE)
    return worst(statuses)
