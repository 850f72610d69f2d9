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
    the graph in prediction (semi-supervised learning, approach I); on node tasks the graph is that
    of all nodes, the template among them.

    Options: :class:`~lapbench.methods.wnll.options.WNLLOptions`.

    Source: WNLL paper, sections 2 and 3.1 to 3.3, algorithms 1 and 2. Its section 4 has (m, n) =
    (30, 15), N = 2, the factor 1/5, and 400 and 5 epochs a round with batches of 128 and 2,000 and
    rates of 0.05 and 0.0005 (stochastic gradient descent); the defaults here are for small data.

    """

    batch_dependent: ClassVar[bool] = True

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
                f"labelled training samples; must be {needed} or more, for the template and "
                "outside it"
            )
        return WNLLModel(backbone, self, task)
