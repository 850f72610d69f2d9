"""Graph numerics: neighbours, weights, Laplacians and differentiable graph equations."""

from lapbench.methods.graph.build import knn_graph, similarity_graph
from lapbench.methods.graph.custom import GraphEquation
from lapbench.methods.graph.equation import Equation
from lapbench.methods.graph.knn import Neighbors, NonFiniteError, nearest_neighbors
from lapbench.methods.graph.laplace import Laplace, SoftConstraint
from lapbench.methods.graph.laplacian import SimilarityGraph
from lapbench.methods.graph.layer import GraphLearningLayer
from lapbench.methods.graph.p_laplace import PLaplace
from lapbench.methods.graph.poisson import Poisson
from lapbench.methods.graph.solve_with_adjoint import Solution, solve_graph_equation
from lapbench.methods.graph.status import Status
from lapbench.methods.graph.weighted_nonlocal import WNLL
from lapbench.methods.graph.weights import (
    Cosine,
    EdgeGeometry,
    FixedBandwidth,
    Kernel,
    NeighborBandwidth,
    Radial,
    SelfTuning,
)

__all__ = [
    "WNLL",
    "Cosine",
    "EdgeGeometry",
    "Equation",
    "FixedBandwidth",
    "GraphEquation",
    "GraphLearningLayer",
    "Kernel",
    "Laplace",
    "NeighborBandwidth",
    "Neighbors",
    "NonFiniteError",
    "PLaplace",
    "Poisson",
    "Radial",
    "SelfTuning",
    "SimilarityGraph",
    "SoftConstraint",
    "Solution",
    "Status",
    "knn_graph",
    "nearest_neighbors",
    "similarity_graph",
    "solve_graph_equation",
]
