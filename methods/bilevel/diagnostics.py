"""How good a hypergradient is, and how far from the labels it reaches."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import eigsh
from torch import Tensor

from lapbench.methods.base.saved_tensors import count_saved_bytes
from lapbench.methods.bilevel.hops import hops
from lapbench.methods.bilevel.learned_graph import undirected_weights
from lapbench.methods.graph.sparse import EdgePattern

_LARGEST = 5_000


def compare_with_implicit(
    find: Callable[[Callable[[], None]], Tensor], exact: Callable[[], Tensor] | None, kind: str
) -> dict[str, float]:
    """The memory of a hypergradient, and how it differs from the implicit one.

    ``hypergradient_megabytes`` are the tensors saved for the backward pass. Relative error and
    cosine are those of the whole vector, where there is an implicit one that is not 0: for eq. 1.

    Args:
        find: returns the hypergradient; what it is given it calls before the backward pass.
        exact: returns the implicit one; None where there is none to compare with.
        kind: of the hypergradient, for the warning.

    Warns:
        RuntimeWarning: if the hypergradient is not finite; there is then no error and no cosine.

    """
    numbers = {}
    with count_saved_bytes() as saved:

        def count() -> None:
            numbers["hypergradient_megabytes"] = saved.now / 1e6

        gradient = find(count)
    if exact is None:
        return numbers
    if not bool(gradient.isfinite().all()):
        warnings.warn(f"the {kind} hypergradient overflows", RuntimeWarning, stacklevel=2)
        return numbers
    implicit = exact()
    if not bool(implicit.any()):
        return numbers
    return numbers | {
        "hypergradient_error": float((gradient - implicit).norm() / implicit.norm()),
        "hypergradient_cosine": float(
            torch.nn.functional.cosine_similarity(gradient.flatten(), implicit.flatten(), dim=0)
        ),
    }


def scarcity(
    weights: Tensor,
    edges: Tensor,
    count: int,
    inner: Tensor,
    outer: Tensor,
    strength: float | None,
    reach: int,
) -> dict[str, Tensor]:
    """The last hypergradient of every edge, with its distance from the labels.

    Arrays: ``hypergradient`` (E,); ``distance`` (E,), infinite where there is none; ``largest``
    (E,), whether the edge is in the largest component; ``reach`` (1,), of the network, or 0; and
    for eq. 1 ``theorem`` (3,): the smallest and the largest eigenvalue of B there, and the bound of
    Theorem 4.1 at distance 0; NaN above 5,000 nodes, where eigenvalues take too long.

    The distance is the smaller one of the two ends: for a network that to V_tr ∪ V_out, for eq. 1
    the sum of those to V_tr and to V_out, which is at least the exponent of Theorem 4.1.

    Args:
        weights: (E,) or (2, E) of the edges, with a gradient.
        edges: (2, E), i < j.
        count: of the nodes.
        inner: nodes V_tr.
        outer: nodes V_out.
        strength: λ of eq. 1; None for a network.
        reach: hops that a network sees.

    Source: bilevel paper, section 6.1 and figure 1.

    """
    gradient = weights.grad
    assert gradient is not None
    to_inner, to_outer = (hops(edges, count, nodes) for nodes in (inner, outer))
    network = strength is None
    distance = torch.minimum(to_inner, to_outer) if network else to_inner + to_outer
    pattern = EdgePattern(edges, count)
    component = pattern.components(torch.ones_like(edges[0], dtype=torch.bool))
    largest = component == component.mode().values
    arrays = {
        "hypergradient": gradient.sum(dim=0) if gradient.ndim == 2 else gradient,
        "distance": distance[edges].amin(dim=0),
        "largest": largest[edges[0]],
        "reach": torch.tensor([reach]),
    }
    if strength is not None:
        known = int(largest.sum()) > 2 and count <= _LARGEST
        bound = (np.nan, np.nan, np.nan)
        if known:
            bound = _theorem(weights, edges, inner, len(outer), strength, largest)
        arrays["theorem"] = torch.tensor(bound, dtype=torch.float64)
    return arrays


def _theorem(
    weights: Tensor, edges: Tensor, inner: Tensor, q: int, strength: float, largest: Tensor
) -> tuple[float, float, float]:
    """The extreme eigenvalues of B on a component, and the bound at distance 0.

    B = S_in/|V_tr| + λL/|E|, counted on the whole graph. Without the factor that the paper leaves
    open, the bound for labels of at most 1 is
    λ (√|V_out| + μ_min √|V_tr| |V_out|) / (μ_min³ |V_tr| |E|).

    Source: bilevel paper, Theorem 4.1.
    """
    nodes = largest.nonzero()[:, 0].cpu().numpy()
    values = undirected_weights(weights.detach()).double().cpu().numpy()
    i, j = edges.cpu().numpy()
    is_inner = np.isin(nodes, inner.cpu().numpy())
    matrix = coo_array((values, (i, j)), (len(largest), len(largest))).tocsr()
    adjacency = (matrix + matrix.T)[nodes][:, nodes]
    laplacian = diags_array(adjacency.sum(axis=1)) - adjacency
    m = len(inner)
    system = (diags_array(is_inner / m) + strength / len(i) * laplacian).tocsc()
    ends: dict[str, Any] = {"return_eigenvectors": False, "v0": np.ones(len(nodes)), "k": 1}
    # Shifted a little below 0, so that it can be factored where no node is labelled.
    smallest = max(float(eigsh(system, sigma=-1e-9, which="LM", **ends)[0]), 0.0)
    highest = float(eigsh(system, which="LM", **ends)[0])
    prefactor = np.inf
    if smallest > 0:
        numerator = q**0.5 + smallest * m**0.5 * q
        prefactor = strength * numerator / (smallest**3 * m * len(i))  # Bilevel theorem 4.1
    return smallest, highest, float(prefactor)
