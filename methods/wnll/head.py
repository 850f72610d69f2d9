"""The weighted nonlocal Laplacian as output activation."""

from typing import ClassVar

from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.method import Head
from lapbench.methods.base.model import Model
from lapbench.methods.wnll.model import WNLLModel
from lapbench.methods.wnll.options import WNLLOptions


@validated
class WNLLActivation(WNLLOptions, Head):
    r"""Weighted nonlocal Laplacian: interpolates labels, trained through a linear surrogate.

    A buffer (linear layer and ReLU) follows the backbone and feeds two branches. One is a linear
    layer Ỹ; the other interpolates the labels of a template by the weighted nonlocal Laplacian
    (eq. 5) on the graph of (m, n)-nearest neighbours, Ŷ. Each of N rounds has two stages: the
    linear branch trains all weights, then the interpolation trains the buffer alone. In the second
    stage the gradient of the cross-entropy in the buffer's outputs X̂ is

    .. math:: G_{\hat X} = \frac1b (\operatorname{softmax}(\hat Y) - Y) W_L

    for the b interpolated samples and 0 for the template: the derivative at Ỹ := Ŷ, taken back
    through the linear branch (eq. 13). As Ŷ are probabilities already, this loss has the floor
    log(e + c − 1) − 1; the log-likelihood in the tables is that of Ŷ itself.

    On digits the cosine of the exact and the surrogate gradient in the buffer's weights, a metric,
    is negative: only the exact one acts through the template.

    The template is half of the labelled training samples, drawn in each round. An epoch uses
    ``template_batch_size`` of them and trains on the other half. In prediction the template is all
    labelled training samples, in batches with every class in proportion. The probability is the
    mean over these batches; the paper's majority vote is a metric. Unlabelled training samples
    join the graph in prediction (semi-supervised learning, approach I). On node tasks the graph
    has all nodes.

    Options: :class:`~lapbench.methods.wnll.options.WNLLOptions`.

    Source: WNLL paper, sections 2 and 3.1 to 3.3, algorithms 1 and 2. Its section 4 has (m, n) =
    (30, 15), N = 2 and the factor 1/5. A round has 400 and 5 epochs of stochastic gradient descent,
    with batches of 128 and 2,000 and rates of 0.05 and 0.0005. Defaults here are for small data.

    """

    batch_dependent: ClassVar[bool] = True

    def build(self, backbone: nn.Module, task: Task) -> Model:
        """Put the buffer, the linear and the interpolating branch after the backbone.

        Raises:
            ValueError: if a class has no labelled training sample, or only one for training.

        """
        counts = task.train.y[task.train.y >= 0].bincount(minlength=task.num_classes)
        needed = 2 if self.rounds else 1
        if int(counts.min()) < needed:
            raise ValueError(
                f"wnll: class {int(counts.argmin())} of {task.name} has {int(counts.min())} "
                f"labelled training samples; must be {needed} or more, for the template and "
                "outside it"
            )
        return WNLLModel(backbone, self, task)
