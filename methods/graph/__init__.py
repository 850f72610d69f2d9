"""Graph numerics: neighbours, weights, Laplacians and differentiable graph equations."""

from lapbench.methods.graph.elliptic import Laplace, Solution, solve_graph_equation
from lapbench.methods.graph.knn import Neighbors, NonFiniteError, nearest_neighbors
from lapbench.methods.graph.laplacian import SimilarityGraph, knn_graph
from lapbench.methods.graph.solve import Status
from lapbench.methods.graph.weights import FixedBandwidth, Kernel, SelfTuning

__all__ = [
    "FixedBandwidth",
    "Kernel",
    "Laplace",
    "Neighbors",
    "NonFiniteError",
    "SelfTuning",
    "SimilarityGraph",
    "Solution",
    "Status",
    "knn_graph",
    "nearest_neighbors",
    "solve_graph_equation",
]
