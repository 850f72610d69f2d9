"""Bilevel graph learning."""

from typing import ClassVar

from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.method import Head
from lapbench.methods.base.model import Model
from lapbench.methods.bilevel.laplacian_model import LaplacianModel
from lapbench.methods.bilevel.network_model import NetworkModel
from lapbench.methods.bilevel.options import BilevelOptions
from lapbench.methods.bilevel.parts import check_samples
from lapbench.methods.bilevel.sample_model import SampleModel


@validated
class Bilevel(BilevelOptions, Head):
    r"""Bilevel graph learning: edge weights so that a classifier fitted on V_tr predicts V_out.

    .. math:: \min_A \frac{1}{|V_{out}|} \sum_{i \in V_{out}} \ell(Y(A)_i, y_i) + \gamma R(A),

    where Y(A) minimises an inner problem on other labelled samples V_tr: Laplacian regularisation
    (eq. 1), or the training of a graph network (eq. 2). The gradient in A is the hypergradient.
    An epoch is an outer iteration. Prefer it where a graph is given and not trusted.

    On **node tasks** the edges are the observed ones. With ``inner = "laplacian"`` the backbone is
    not used; with ``"network"`` it is what the inner problem trains. V_out is what the task names,
    else half of the training nodes. The outer iteration of the highest validation accuracy is kept,
    the first of several. Where inner steps are unrolled, they are candidates too. The metric
    ``last_step_accuracy`` is that without this choice. The curve of an outer iteration shows the
    graph before its step.

    On **other tasks** a graph of nearest neighbours joins the backbone features of the batch and of
    V_tr, half of the training samples. The backbone is trained with the weights, and the last epoch
    is kept, as for every method.

    Options: :class:`~lapbench.methods.bilevel.options.BilevelOptions`.

    Raises:
        ValueError: if an option has no effect, V_tr or V_out is empty, a class of V_out is missing
            in V_tr, or no minimiser exists (``ridge = 0``).

    Source: bilevel paper, sections 1, 5 and 6. It sets γ = 1, and λ = 1 (0.1 on the observed
    graph). Inner Adam takes 500 steps of rate 0.1 for eq. 1, and 100 of 0.01 for eq. 2. Outer Adam
    takes 150 iterations of rate 0.01 (``"g2g"``: 0.001, with the network 0.0001).

    """

    batch_dependent: ClassVar[bool] = True
    note: ClassVar[str] = (
        "bilevel keeps on node tasks what has the highest validation accuracy, as its paper does; "
        "last_step_accuracy is without this choice. Evaluated on the validation split itself, its "
        "accuracy is the highest of all that were seen. Backbones play no part with "
        'inner = "laplacian" there'
    )

    def skip(self, task: Task) -> str | None:
        """A reason where an option needs a graph that the task does not have."""
        if task.nodes_only:
            return None
        needs = {
            'inner = "network"': self.inner == "network",
            f'graph = "{self.graph}"': self.graph != "g2g",
            f"power = {self.power}": self.power > 1,
        }
        asked = " and ".join(name for name, used in needs.items() if used)
        return f"bilevel: {asked} needs a node task; {task.name} has no graph" if asked else None

    def build(self, backbone: nn.Module, task: Task) -> Model:
        """The model for a node task, or for one of vectors and images.

        Raises:
            ValueError: as the class says, or if a network is to be trained that has no graph.

        """
        if not task.nodes_only:
            check_samples(self, task)
            return SampleModel(backbone, self, task)
        if self.inner == "laplacian":
            return LaplacianModel(self, task)
        if not hasattr(backbone, "reach"):
            raise ValueError(
                'bilevel: inner = "network" received a backbone that does not use the graph; '
                "must be gnn or appnp"
            )
        return NetworkModel(backbone, self, task)
