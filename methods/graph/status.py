"""How a solve ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from torch import Tensor


class Status(Enum):
    """How a solve ended; the value is the message for the user. The first that applies is given."""

    SINGULAR = (
        "singular: the equation has no unique solution at these weights, and values without one "
        "are 0; raise tau, the bandwidth or the weights, or use an elliptic phi"
    )
    NOT_CONVERGED = (
        "not converged: the residual is above the tolerance after the last iteration; raise tau, "
        "bring p nearer to 2, or look for edge weights of very different size"
    )
    ILL_CONDITIONED = (
        "ill-conditioned: some nodes are joined by weights so small that their values are not "
        "exact; raise tau or the bandwidth, or label a node there"
    )
    DEGENERATE = (
        "degenerate: the labels of a class are constant in a component, so its values are constant "
        "there; label a node of another class, or add one to the component"
    )
    DISCONNECTED = (
        "disconnected: some nodes have no path to a labelled node and took the label mean "
        "(tau = 0) or 0 (tau > 0, Poisson) unless a source acts there; raise k or label a node in "
        "every component"
    )
    CONVERGED = "converged"


def worst(statuses: Iterable[Status]) -> Status:
    """The first in the order of ``Status``; ``CONVERGED`` if there are none."""
    order = list(Status)
    return min(statuses, key=order.index, default=Status.CONVERGED)


@dataclass(frozen=True, eq=False)
class LinearSolution:
    """Values (n, c), finite whatever the status and 0 at nodes that are not free.

    ``residual`` is ‖b − Au‖/(‖b‖ + ‖u‖) for the system scaled to unit diagonal, the largest over
    the columns.
    """

    values: Tensor
    status: Status
    iterations: int
    residual: float
