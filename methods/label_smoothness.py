"""Label smoothness from layer to layer."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from lapbench.datasets.base.validated import validated
from lapbench.methods.base.activations import count_relus
from lapbench.methods.base.method import Term
from lapbench.methods.base.model import Model
from lapbench.methods.base.smoothness import Neighbors, Power, smoothness_by_depth


@validated
class LabelSmoothness(Term):
    r"""Label smoothness: bounds how much the smoothness of label signals changes layer by layer.

    At the output of each of the d ReLU layers a graph joins the samples of a mini-batch, weighted
    by the cosine of their features. The one-hot labels S have the smoothness σ_ℓ = tr(SᵀL_ℓ^m S) on
    it. The penalty is

    .. math:: \gamma^m \frac{1}{d - 1} \sum_{\ell=2}^d |\sigma_\ell - \sigma_{\ell-1}|,

    with the absolute value outside the sum over classes. As σ grows with the batch size b like
    b^{m+1}, it is multiplied by (b₀/b)^{m+1}: γ then means the same for all b.

    Args:
        gamma: γ.
        power: m; 2 and 3 look at larger neighbourhoods.
        k: neighbours of every sample by cosine, or ``"all"``, which is cheaper.
        reference_batch_size: b₀, 100 in the paper.

    Source: label-smoothness paper, sections 3.1 to 3.4, eq. 1, 4, 5 and 9. Appendix B has γ = 0.01,
    m = 2 and all neighbours, for a network with batch normalisation. The double sum of eq. 4 is
    twice its sᵀLs, which is used here.

    """

    gamma: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.001
    power: Power = 2
    k: Neighbors = "all"
    reference_batch_size: Annotated[int, Field(ge=1)] = 100

    def skip(self, model: Model) -> str | None:
        """A reason where there are not two ReLU layers to compare."""
        if (layers := count_relus(model)) < 2:
            return f"label_smoothness: the network has {layers} nn.ReLU layer(s); it compares two"
        return None

    def penalty(self, model: Model, x: Tensor, y: Tensor, share_of_epochs: float) -> Tensor:  # noqa: ARG002
        """The penalty of a mini-batch; samples with y = −1 are left out of the graphs."""
        sigma = smoothness_by_depth(model, x, y, self.power, self.k, self.reference_batch_size)
        return self.gamma**self.power * sigma.diff().abs().mean()  # Smoothness eq. 5
