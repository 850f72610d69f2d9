"""Exact verification of a ReLU network by mixed-integer linear programming."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from lapbench.attacks.verifier.affine import AffineLayer, Array, logits
from lapbench.attacks.verifier.bounds import (
    Box,
    crown_bounds,
    input_box,
    margin_bounds,
    margin_layer,
)

TOLERANCE = 1e-6
"""What a proven margin must exceed, in units of the outputs."""

# Only the sign counts: a positive margin need not be known to more than this share of it.
_RELATIVE_GAP = 0.99


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is known about one image.

    Attributes:
        outcome: ``"verified"``: no other class scores as high anywhere in the ball; ``"unsafe"``:
            ``counterexample`` is an input where one does; ``"timeout"``: neither is known.
        by: what told: the image itself, an attack, linear bounds, or the integer program.
        counterexample: (d,) in float64.

    """

    outcome: Literal["verified", "unsafe", "timeout"]
    by: Literal["clean", "attack", "bounds", "milp"]
    counterexample: Array | None = None


def exact(
    layers: Sequence[AffineLayer],
    x: Array,
    y: int,
    epsilon: float,
    bounds: tuple[float, float] | None,
    time_limit: float,
) -> Verdict:
    r"""Whether any input in the box has z_j ≥ z_y for another class j.

    CROWN bounds decide most classes. For each class j that they leave open, an integer program
    finds the least z_y − z_j over the inputs in the box. Its variables are the input, the
    activations a, and binaries d. A neuron has one if its pre-activation z = Wa' + b can have both
    signs, which is in [l, u] with l < 0 < u:

    .. math:: a \ge z, \quad a \le z - l (1 - d), \quad 0 \le a \le u d;

    the other neurons are linear or 0. A search ends when the sign of the least margin is known.

    The solver is exact up to its tolerances (1e-6 in a constraint and in a binary), so its answer
    is checked. "verified" needs a proven bound of every margin above 1e-6, never "infeasible". As
    binaries are relaxed and rows loosened by the tolerances, this is a proof in floating point, not
    in rational arithmetic. "unsafe" needs an input in the box at which ``logits`` in float64 score
    another class at least as high; a tie is unsafe. A solution without such logits is "timeout",
    like everything that the solver leaves open. Only the sign is sought, so a least margin that is
    positive but below 1e-4 is left open too.

    Args:
        layers: of the network.
        x: (d,) the image.
        y: its class.
        epsilon: radius of the ball in the maximum norm.
        bounds: of every input value; None where there are none.
        time_limit: seconds for the image, bounds included. One that ends in between stops the
            search at the solver's next check.

    Source: Tjeng, Xiao and Tedrake, "Evaluating robustness of neural networks with mixed integer
    programming", ICLR 2019, sections 4.1 and 4.2.

    """
    deadline = time.monotonic() + time_limit
    box = input_box(x, epsilon, bounds)
    hidden = crown_bounds(layers[:-1], box)
    margins = margin_bounds(layers, hidden, box, y)
    # The class that is nearest by its bound comes first: a counterexample ends the search.
    unproven = [int(j) for j in margins.argsort() if margins[j] <= TOLERANCE]
    if not unproven:
        return Verdict("verified", "bounds")
    program = _Program(layers, hidden, box)
    proven = True
    for j in unproven:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return Verdict("timeout", "milp")
        low, minimizer = program.least_margin(y, j, remaining)
        if minimizer is not None and is_wrong(layers, minimizer, y):
            return Verdict("unsafe", "milp", minimizer)
        proven = proven and low > TOLERANCE
    return Verdict("verified" if proven else "timeout", "milp")


def is_wrong(layers: Sequence[AffineLayer], x: Array, y: int) -> bool:
    """Whether a class other than y scores at least as high on x (d,) in float64."""
    outputs = logits(layers, x[None])[0]
    return bool(np.delete(outputs, y).max() >= outputs[y])


class _Program:
    """The constraints of a network on a box, the same for all margins.

    Its variables are the input, the activations of each hidden layer, the binaries of each, and the
    objective; a block of them is a matrix that picks it.
    """

    def __init__(self, layers: Sequence[AffineLayer], hidden: Sequence[Box], box: Box) -> None:
        unstable = [(bound.low < 0) & (bound.high > 0) for bound in hidden]
        sizes = [len(box.low), *(len(bound.low) for bound in hidden)]
        sizes += [*(int(rows.sum()) for rows in unstable), 1]
        blocks = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
        everything = sparse.eye_array(sum(sizes), format="csr")
        picks = [everything[block] for block in blocks]
        self.layers = layers
        self.box = box
        self.inputs, self.last, self.objective = picks[0], picks[len(hidden)], picks[-1]
        self.constraints: list[LinearConstraint] = []
        low, high = np.zeros(sum(sizes)), np.ones(sum(sizes))
        low[blocks[0]], high[blocks[0]] = box.low, box.high
        for index, (layer, bound) in enumerate(zip(layers[:-1], hidden, strict=True), start=1):
            low[blocks[index]] = np.maximum(bound.low, 0)
            high[blocks[index]] = np.maximum(bound.high, 0)
            rows = unstable[index - 1]
            activations, binaries = picks[index], picks[len(hidden) + index]
            self._relu(layer, bound, picks[index - 1], activations, rows, binaries)
        low[-1], high[-1] = -np.inf, np.inf
        self.bounds = Bounds(low, high)
        self.integrality = np.zeros(sum(sizes))
        for block in blocks[1 + len(hidden) : -1]:
            self.integrality[block] = 1

    def _relu(
        self, layer: AffineLayer, bound: Box, before: Any, after: Any, rows: Any, binaries: Any
    ) -> None:
        """Add what ties the activations after a layer to those before; 0 is by their bounds."""
        difference = after - layer.weight @ before
        active = bound.low >= 0
        self._add(difference[active], layer.bias[active], layer.bias[active])
        bias, low, high = layer.bias[rows], bound.low[rows], bound.high[rows]
        self._add(difference[rows], bias, np.inf)
        self._add(difference[rows] - sparse.diags_array(low) @ binaries, -np.inf, bias - low)
        self._add(after[rows] - sparse.diags_array(high) @ binaries, -np.inf, 0)

    def _add(self, matrix: Any, low: Any, high: Any) -> None:
        if matrix.shape[0]:
            self.constraints.append(LinearConstraint(matrix, low, high))

    def least_margin(self, y: int, j: int, time_limit: float) -> tuple[float, Array | None]:
        """A proven lower bound of z_y − z_j, and the best input found."""
        margin = margin_layer(self.layers[-1], y)
        row = margin.weight[[j]] @ self.last - self.objective
        result = milp(
            self.objective.toarray()[0],
            integrality=self.integrality,
            bounds=self.bounds,
            constraints=[*self.constraints, LinearConstraint(row, -np.inf, -margin.bias[j])],
            options={"time_limit": time_limit, "mip_rel_gap": _RELATIVE_GAP},
        )
        low = -np.inf if result.mip_dual_bound is None else float(result.mip_dual_bound)
        if result.status not in (0, 1):  # "infeasible" contradicts the image itself
            low = -np.inf
        if result.x is None:
            return low, None
        # The solver drops nodes within the gap of its best solution from the bound it reports.
        low = min(low, result.fun - _RELATIVE_GAP * abs(result.fun))
        return low, np.clip(self.inputs @ result.x, self.box.low, self.box.high)
