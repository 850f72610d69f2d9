"""Linear systems of a graph equation: prepare once, apply often, never a silent NaN."""

from torch import Tensor

from lapbench.methods.graph.block import FreeBlock
from lapbench.methods.graph.conjugate_gradients import conjugate_gradients
from lapbench.methods.graph.dense import DenseFactor
from lapbench.methods.graph.status import LinearSolution, Status

DENSE_UP_TO = 500
RESCUE_UP_TO = 4000
MAX_ITERATIONS = 5000

_ITERATIONS_BEFORE_RESCUE = 200


class LinearSystem:
    """A block with the solver that suits its size.

    Up to 500 free nodes the matrix is factored; above, conjugate gradients iterate. Where they
    fail or cannot be trusted, a matrix of at most 4000 free nodes is factored after all, once, and
    stays so; b matrices together if they are no larger than such a one.

    Args:
        block: the matrix.
        tolerance: of the iteration, on the residual relative to the right-hand side.

    """

    def __init__(self, block: FreeBlock, tolerance: float) -> None:
        self.block = block
        self.tolerance = tolerance
        self.size = int(block.free.sum())
        self._factor: DenseFactor | None = None

    def solve(self, right_hand_sides: Tensor) -> LinearSolution:
        """Solve for all columns of (n, c) at once; rows of nodes that are not free play no part."""
        if self._factor is None and self.size > DENSE_UP_TO:
            rescue = self.block.unit.shape[1] * self.size**2 <= RESCUE_UP_TO**2
            limit = min(_ITERATIONS_BEFORE_RESCUE, MAX_ITERATIONS) if rescue else MAX_ITERATIONS
            solution = conjugate_gradients(self.block, right_hand_sides, self.tolerance, limit)
            if solution.status is Status.CONVERGED or not rescue:
                return solution
        self._factor = self._factor or DenseFactor(self.block)
        return self._factor.solve(right_hand_sides)
