"""How good a hypergradient is, and how far from the labels it reaches."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
import torch
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import eigsh
from torch import Tensor

from lapbench.methods._hops import hops
from lapbench.methods._learned_graph import undirected_weights
from lapbench.methods.graph.sparse import EdgePattern
from lapbench.methods.softmax import cross_entropy

if TYPE_CHECKING:
    from lapbench.methods._bilevel_nodes import NodeModel
    from lapbench.methods.bilevel import Bilevel


_LARGEST = 5_000


def hypergradient(
    model: "NodeModel", head: "Bilevel", before_backward: Callable[[], None] = lambda: None
) -> Tensor:
    """Return the gradient (E,) or (2, E) of the loss on V_out in the model's edge weights.

    Args:
        model: at its present graph; its solution is replaced.
        head: how the gradient is obtained.
        before_backward: called when all that the backward pass needs is there.

    """
    with torch.no_grad():
        weights = model.edge_weights(model.x)
    with torch.enable_grad():
        weights.requires_grad_()
        scores = model.solve(head, model.x, weights, model.outer)
        loss = cross_entropy(scores, model.labels[model.outer])
        before_backward()
        (gradient,) = torch.autograd.grad(loss, weights)
    return gradient.double()


class _Kept:
    """A tensor that the backward pass needs, for as long as it does."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def compare(model: "NodeModel") -> dict[str, float]:
    """Return the memory of a hypergradient, and how it differs from the implicit one.

    ``hypergradient_megabytes`` are the tensors kept for the backward pass. Relative error and
    cosine are those of the whole vector, where there is an implicit one that is not 0: for eq. 1.

    Warns:
        RuntimeWarning: if the hypergradient is not finite; there is then no error and no cosine.

    """
    if not len(model.outer):
        return {}
    kept: WeakSet[_Kept] = WeakSet()
    numbers = {}

    def keep(tensor: Tensor) -> _Kept:
        kept.add(held := _Kept(tensor))
        return held

    def count() -> None:
        storages = (held.tensor.untyped_storage() for held in kept)
        sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
        numbers["hypergradient_megabytes"] = sum(sizes.values()) / 1e6

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda held: held.tensor):
        found = hypergradient(model, model.head, count)
    if model.head.inner == "network" or model.head.hypergradient == "implicit":
        return numbers
    if not bool(found.isfinite().all()):
        warnings.warn(
            f"the {model.head.hypergradient} hypergradient overflows", RuntimeWarning, stacklevel=2
        )
        return numbers
    exact = hypergradient(model, model.head.implicit())
    if not bool(exact.any()):
        return numbers
    return numbers | {
        "hypergradient_error": float((found - exact).norm() / exact.norm()),
        "hypergradient_cosine": float(
            torch.nn.functional.cosine_similarity(found.flatten(), exact.flatten(), dim=0)
        ),
    }


def scarcity(model: "NodeModel") -> dict[str, Tensor]:
    """Return the last hypergradient of every edge, with its distance from the labels.

    Arrays: ``hypergradient`` (E,); ``distance`` (E,), infinite where there is none; ``largest``
    (E,), whether the edge is in the largest component; ``reach`` (1,), of the network, or 0; and
    for eq. 1 ``theorem`` (3,): the smallest and the largest eigenvalue of B there, and the bound of
    Theorem 4.1 at distance 0; NaN above 5,000 nodes, where eigenvalues take too long.

    The distance is the smaller one of the two ends: for a network that to V_tr ∪ V_out, for eq. 1
    the sum of those to V_tr and to V_out, which is at least the exponent of Theorem 4.1.

    Source: bilevel paper, section 6.1 and figure 1.
    """
    assert model.weights is not None
    gradient = model.weights.grad
    if gradient is None:
        return {}
    edges, count = model.edge_index, len(model.x)
    to_inner, to_outer = (hops(edges, count, nodes) for nodes in (model.inner, model.outer))
    network = model.head.inner == "network"
    distance = torch.minimum(to_inner, to_outer) if network else to_inner + to_outer
    pattern = EdgePattern(edges, count)
    component = pattern.components(torch.ones_like(edges[0], dtype=torch.bool))
    largest = component == component.mode().values
    arrays = {
        "hypergradient": gradient.sum(dim=0) if gradient.ndim == 2 else gradient,
        "distance": distance[edges].amin(dim=0),
        "largest": largest[edges[0]],
        "reach": torch.tensor([model.reach]),
    }
    if not network:
        known = int(largest.sum()) > 2 and count <= _LARGEST
        bound = _theorem(model, largest) if known else (np.nan, np.nan, np.nan)
        arrays["theorem"] = torch.tensor(bound, dtype=torch.float64)
    return arrays


def _theorem(model: "NodeModel", largest: Tensor) -> tuple[float, float, float]:
    """Return the extreme eigenvalues of B on a component, and the bound at distance 0.

    B = S_in/|V_tr| + λL/|E|, counted on the whole graph, and the bound, without the factor that the
    paper leaves open, is
    λ (√|V_out| + μ_min √|V_tr| |V_out|) / (μ_min³ |V_tr| |E|) for labels of at most 1.

    Source: bilevel paper, Theorem 4.1.
    """
    assert model.weights is not None
    head, nodes = model.head, largest.nonzero()[:, 0].cpu().numpy()
    weights = undirected_weights(model.weights.detach()).double().cpu().numpy()
    i, j = model.edge_index.cpu().numpy()
    inner = np.isin(nodes, model.inner.cpu().numpy())
    matrix = coo_array((weights, (i, j)), (len(model.x), len(model.x))).tocsr()
    adjacency = (matrix + matrix.T)[nodes][:, nodes]
    laplacian = diags_array(adjacency.sum(axis=1)) - adjacency
    m, q, edges = len(model.inner), len(model.outer), len(i)
    system = (diags_array(inner / m) + head.laplacian_strength / edges * laplacian).tocsc()
    ends: dict[str, Any] = {"return_eigenvectors": False, "v0": np.ones(len(nodes)), "k": 1}
    # Shifted a little below 0, so that it can be factored where no node is labelled.
    smallest = max(float(eigsh(system, sigma=-1e-9, which="LM", **ends)[0]), 0.0)
    highest = float(eigsh(system, which="LM", **ends)[0])
    prefactor = np.inf
    if smallest > 0:
        numerator = q**0.5 + smallest * m**0.5 * q
        prefactor = head.laplacian_strength * numerator / (smallest**3 * m * edges)
    return smallest, highest, float(prefactor)
