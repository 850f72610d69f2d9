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

from lapbench.attacks.base.ascent import ascend
from lapbench.attacks.base.attack import (
    Attack,
    BallAttack,
    Candidate,
    GradientAttack,
    Level,
)
from lapbench.attacks.base.ball import Ball
from lapbench.attacks.base.loss import column, log_likelihood, margins
from lapbench.attacks.base.model_changes import predict_changed, predicting_on, using_edges
from lapbench.attacks.base.quantities import (
    Count,
    Gradient,
    Knowledge,
    Levels,
    Norm,
    Positive,
    Shares,
    StepCounts,
    Units,
)
from lapbench.attacks.base.signal import Signal
from lapbench.attacks.base.tanh import TanhBox
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.node_splits import draw_nodes
from lapbench.datasets.base.nodes import node_task, undirected
from lapbench.datasets.base.task import Dataset, Split, Task, fixed_test_split
from lapbench.datasets.base.validated import validated
from lapbench.errors import LapbenchError, NotApplicableError
from lapbench.methods.base.activations import count_relus, observing_relus
from lapbench.methods.base.backbone import Backbone, Features, Normalize, image_shape
from lapbench.methods.base.base_set import draw_per_class, order_by_class, parts_with_all_classes
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import (
    HasBaseSet,
    HasCheckpointState,
    HasExactGradient,
    HasLayers,
    HasNumbers,
    HoldsOut,
    Phase,
    Stage,
    TrainsInPhases,
    UsesEdges,
    exchanged,
)
from lapbench.methods.base.method import Head, Term
from lapbench.methods.base.model import GradientKind, Model
from lapbench.methods.base.node_network import InputLayer, NodeNetwork
from lapbench.methods.base.rounds import alternating_budgets
from lapbench.methods.base.selection import Selection
from lapbench.methods.softmax import LinearModel, cross_entropy

__all__ = [
    "Attack",
    "Backbone",
    "Ball",
    "BallAttack",
    "Budget",
    "Candidate",
    "Count",
    "Dataset",
    "Features",
    "Gradient",
    "GradientAttack",
    "GradientKind",
    "HasBaseSet",
    "HasCheckpointState",
    "HasExactGradient",
    "HasLayers",
    "HasNumbers",
    "Head",
    "HoldsOut",
    "InputLayer",
    "Knowledge",
    "LapbenchError",
    "Level",
    "Levels",
    "LinearModel",
    "Model",
    "NodeNetwork",
    "Norm",
    "Normalize",
    "NotApplicableError",
    "Phase",
    "Positive",
    "Selection",
    "Shares",
    "Signal",
    "Split",
    "Stage",
    "StepCounts",
    "TanhBox",
    "Target",
    "Task",
    "Term",
    "TrainsInPhases",
    "Units",
    "UsesEdges",
    "alternating_budgets",
    "ascend",
    "column",
    "count_relus",
    "cross_entropy",
    "draw_nodes",
    "draw_per_class",
    "exchanged",
    "fixed_test_split",
    "image_shape",
    "log_likelihood",
    "margins",
    "node_task",
    "observing_relus",
    "order_by_class",
    "parts_with_all_classes",
    "predict_changed",
    "predicting_on",
    "undirected",
    "using_edges",
    "validated",
]
