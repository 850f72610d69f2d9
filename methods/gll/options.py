"""The hyper-parameters of the graph learning layer as a classifier."""

from typing import Annotated, Literal

from pydantic import Field

from lapbench.datasets.base.validated import validated
from lapbench.methods.base.model import GradientKind

Bandwidth = Literal["self-tuning"] | Annotated[float, Field(ge=1e-12, le=1e12)]


@validated
class GLLOptions:
    """Graph and training of GLL; see :class:`lapbench.methods.gll.GLL`.

    Args:
        k: true neighbours per node; the paper's 25 counts the node itself.
        tau: τ >= 0 in τu + Δu = 0; larger values cluster the features more tightly.
        bandwidth: ``"self-tuning"``, or one positive number.
        base_per_class: labelled samples per class while training. On node tasks it has no effect:
            the base set is half of the labelled nodes.
        evaluation_base_per_class: labelled samples per class for prediction, or ``"all"`` of the
            training data.
        base_update: the base set of each epoch: that of the first (``"fixed"``), drawn anew
            (``"random"``), or the least certain samples by the values u of the epoch before.
            Uncertainty is −Σ_c u_c log u_c (``"entropy"``, eq. 47) or 1 − ‖u‖₂ (``"l2"``, eq. 48);
            ``"entropy-local-max"`` and ``"l2-local-max"`` prefer samples that are the least certain
            among their neighbours, which keeps base samples apart. Ties are broken at random.
            Scores cost a pass over the training samples per epoch, outside the timed steps; on node
            tasks it must be ``"fixed"`` or ``"random"``.
        softmax_share: share of the epochs that train a linear layer with softmax first. 0.5 and
            0.75 are the paper's GLL-50 and GLL-75; 1 predicts by the graph from features that
            softmax learned. Between 0 and 1 each classifier has at least one epoch, and the loss
            and validation accuracy of both are stored after each epoch.

    """

    k: Annotated[int, Field(ge=1)] = 25
    tau: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    bandwidth: Bandwidth = "self-tuning"
    base_per_class: Annotated[int, Field(ge=1)] = 10
    evaluation_base_per_class: Annotated[int, Field(ge=1)] | Literal["all"] = "all"
    base_update: Literal[
        "random", "fixed", "entropy", "l2", "entropy-local-max", "l2-local-max"
    ] = "random"
    softmax_share: Annotated[float, Field(ge=0, le=1)] = 0.0

    @property
    def gradient_kind(self) -> GradientKind:
        """Exact, unless the graph only predicts."""
        return "autograd" if self.softmax_share == 1 else "exact"
