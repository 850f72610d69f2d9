"""What the author of a method, term, backbone, data set or attack needs, in one import.

A component is one class: a frozen dataclass of its options, made by :func:`validated`, so that a
suite file is checked and a record holds every option. This is a whole method::

    from typing import ClassVar

    from torch import Tensor, nn

    from lapbench.plugin import Head, LinearModel, Model, Task, validated


    @validated
    class Scaled(Head):
        \"\"\"Softmax of scores that a constant multiplies.\"\"\"

        gradient_kind: ClassVar = "autograd"
        factor: float = 2.0

        def build(self, backbone: nn.Module, task: Task) -> Model:
            return _Scaled(backbone, task.num_classes, self.factor)


    class _Scaled(LinearModel):
        def __init__(self, backbone: nn.Module, num_classes: int, factor: float) -> None:
            super().__init__(backbone, num_classes)
            self.factor = factor

        def outputs(self, features: Tensor) -> Tensor:
            return self.factor * super().outputs(features)

Put it into a package of your own, and name it there in ``pyproject.toml``; the groups are
``lapbench.methods``, ``lapbench.backbones``, ``lapbench.datasets`` and ``lapbench.attacks``::

    [project.entry-points."lapbench.methods"]
    scaled = "my_package:Scaled"

Then ``lapbench list methods`` shows it, and a suite runs it by its name.

A **head** (:class:`Head`) makes a :class:`Model` of a backbone; a **term** (:class:`Term`) adds a
penalty to the training of any head, changes the model when it is built, or acts after each step. A
model that trains in phases, draws a base set, uses the edges of a graph, or has numbers of its own
derives from a capability too: :class:`TrainsInPhases`, :class:`HoldsOut`, :class:`HasBaseSet`,
:class:`HasExactGradient`, :class:`HasCheckpointState`, :class:`HasLayers`, :class:`UsesEdges`,
:class:`HasNumbers`. The harness asks for these and for no class.

A **backbone** (:class:`Backbone`) builds a module with ``feature_size``; on node tasks it is a
:class:`NodeNetwork`. A **data set** (:class:`Dataset`) loads a :class:`Task`.

An **attack** (:class:`Attack`, :class:`BallAttack` with an ε, :class:`GradientAttack`) yields
:class:`Candidate` objects for a batch; the harness clips them, predicts again and counts. What it
says of itself (``knowledge``, ``iterates``, ``starts_at_random``, ``adapts_steps``, ``gradient``,
``base_sets``) is what the checks for hidden gradients go by.
"""

from lapbench.attacks.base.ascent import ascend as ascend
from lapbench.attacks.base.attack import Attack as Attack
from lapbench.attacks.base.attack import BallAttack as BallAttack
from lapbench.attacks.base.attack import Candidate as Candidate
from lapbench.attacks.base.attack import GradientAttack as GradientAttack
from lapbench.attacks.base.attack import Level as Level
from lapbench.attacks.base.ball import Ball as Ball
from lapbench.attacks.base.loss import column as column
from lapbench.attacks.base.loss import log_likelihood as log_likelihood
from lapbench.attacks.base.loss import margins as margins
from lapbench.attacks.base.model_changes import predict_changed as predict_changed
from lapbench.attacks.base.model_changes import predicting_on as predicting_on
from lapbench.attacks.base.model_changes import using_edges as using_edges
from lapbench.attacks.base.quantities import Count as Count
from lapbench.attacks.base.quantities import Gradient as Gradient
from lapbench.attacks.base.quantities import Knowledge as Knowledge
from lapbench.attacks.base.quantities import Levels as Levels
from lapbench.attacks.base.quantities import Norm as Norm
from lapbench.attacks.base.quantities import Positive as Positive
from lapbench.attacks.base.quantities import Shares as Shares
from lapbench.attacks.base.quantities import StepCounts as StepCounts
from lapbench.attacks.base.quantities import Units as Units
from lapbench.attacks.base.signal import Signal as Signal
from lapbench.attacks.base.tanh import TanhBox as TanhBox
from lapbench.attacks.base.target import Target as Target
from lapbench.datasets.base.node_splits import draw_nodes as draw_nodes
from lapbench.datasets.base.nodes import node_task as node_task
from lapbench.datasets.base.nodes import undirected as undirected
from lapbench.datasets.base.task import Dataset as Dataset
from lapbench.datasets.base.task import Split as Split
from lapbench.datasets.base.task import Task as Task
from lapbench.datasets.base.task import fixed_test_split as fixed_test_split
from lapbench.datasets.base.validated import validated as validated
from lapbench.datasets.files.files import DataError as DataError
from lapbench.datasets.files.files import MissingDataError as MissingDataError
from lapbench.datasets.files.images import Images as Images
from lapbench.datasets.files.images import PublishedImages as PublishedImages
from lapbench.errors import LapbenchError as LapbenchError
from lapbench.errors import NotApplicableError as NotApplicableError
from lapbench.methods.base.activations import count_relus as count_relus
from lapbench.methods.base.activations import observing_relus as observing_relus
from lapbench.methods.base.backbone import Backbone as Backbone
from lapbench.methods.base.backbone import Features as Features
from lapbench.methods.base.backbone import Normalize as Normalize
from lapbench.methods.base.backbone import image_shape as image_shape
from lapbench.methods.base.base_set import draw_per_class as draw_per_class
from lapbench.methods.base.base_set import order_by_class as order_by_class
from lapbench.methods.base.base_set import parts_with_all_classes as parts_with_all_classes
from lapbench.methods.base.budget import Budget as Budget
from lapbench.methods.base.capabilities import HasBaseSet as HasBaseSet
from lapbench.methods.base.capabilities import HasCheckpointState as HasCheckpointState
from lapbench.methods.base.capabilities import HasExactGradient as HasExactGradient
from lapbench.methods.base.capabilities import HasLayers as HasLayers
from lapbench.methods.base.capabilities import HasNumbers as HasNumbers
from lapbench.methods.base.capabilities import HoldsOut as HoldsOut
from lapbench.methods.base.capabilities import Phase as Phase
from lapbench.methods.base.capabilities import Stage as Stage
from lapbench.methods.base.capabilities import TrainsInPhases as TrainsInPhases
from lapbench.methods.base.capabilities import UsesEdges as UsesEdges
from lapbench.methods.base.capabilities import exchanged as exchanged
from lapbench.methods.base.method import Head as Head
from lapbench.methods.base.method import Term as Term
from lapbench.methods.base.model import GradientKind as GradientKind
from lapbench.methods.base.model import Model as Model
from lapbench.methods.base.node_network import InputLayer as InputLayer
from lapbench.methods.base.node_network import NodeNetwork as NodeNetwork
from lapbench.methods.base.rounds import alternating_budgets as alternating_budgets
from lapbench.methods.base.selection import Selection as Selection
from lapbench.methods.softmax import LinearModel as LinearModel
from lapbench.methods.softmax import cross_entropy as cross_entropy
