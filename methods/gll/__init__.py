"""Graph learning layer: a graph PDE as the classifier, with exact adjoint gradients.

``options`` are the hyper-parameters, ``model`` trains and predicts, ``head`` joins the two. The
layer itself is :mod:`lapbench.methods.graph.layer`.
"""

from lapbench.methods.gll.head import GLL
from lapbench.methods.graph.layer import GraphLearningLayer, log_probabilities, value_loss

__all__ = ["GLL", "GraphLearningLayer", "log_probabilities", "value_loss"]
