"""The hyper-parameters of the weighted nonlocal Laplacian as output activation."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lapbench.datasets.base.validated import validated
from lapbench.methods.base.model import GradientKind

PositiveInteger = Annotated[int, Field(ge=1)]


@validated
class WNLLOptions:
    """The graph of the activation, and its training in two stages.

    See :class:`lapbench.methods.wnll.WNLLActivation`.

    Args:
        k: m, true neighbours of every node; the paper's m also counts the node itself.
        bandwidth_rank: n; the bandwidth is the distance to the n-th neighbour. The paper's n also
            counts the node itself.
        label_weight: weight of the labels, |X|/|X_te| − 1 (``"ratio - 1"``, eq. 5) or |X|/|X_te|
            (``"ratio"``, the authors' code); on the pixels of MNIST 97.2 % and 97.6 % (figures at
            the graph equation ``WNLL``; suite ``wnll-table2``).
        gradient: of the second stage, ``"surrogate"``, or ``"exact"`` by the adjoint equation. It
            is also the gradient that attacks see: with ``"surrogate"`` the negative log-likelihood
            has the surrogate gradient in the inputs (eq. 24).
        rounds: N; 0 trains nothing, and interpolates on the features of the backbone without a
            buffer.
        wnll_share: share of the epochs in second stages, at least one in each round.
        wnll_batch_size: samples per step of the second stage.
        wnll_learning_rate: constant learning rate of the second stage.
        round_factor: factor on the learning rate of the first stage after each round.
        template_batch_size: most labelled samples in one graph, or ``"all"``. It may have more, so
            that no rare class is missing.

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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.bandwidth_rank > self.k:
            raise ValueError(
                f"bandwidth_rank = {self.bandwidth_rank} is above k = {self.k}; lower it too"
            )
        return self

    @property
    def gradient_kind(self) -> GradientKind:
        """The gradient of the second stage; exact where there is no linear branch to lend one."""
        return self.gradient if self.rounds else "exact"
