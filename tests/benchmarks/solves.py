"""What is solved meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from lapbench.methods.bilevel.laplacian_problem import LaplacianProblem
from lapbench.methods.graph.solve import LinearSystem
from lapbench.methods.graph.status import LinearSolution


def solves(call: Callable[[], object]) -> dict[str, Any]:
    """Iterations of all linear solves of a call together, and the largest residual among them.

    Nothing where nothing is solved; no residual for the inner problem of `bilevel`, whose Newton
    steps are inexact on purpose.
    """
    solutions: list[LinearSolution] = []
    inner = 0
    solve, product_of = LinearSystem.solve, LaplacianProblem.hessian_product

    def observed_solve(system: LinearSystem, right: Tensor) -> LinearSolution:
        solutions.append(solve(system, right))
        return solutions[-1]

    def observed_product(*about: Any) -> Callable[[Tensor], Tensor]:
        product = product_of(*about)

        def counted(values: Tensor) -> Tensor:
            nonlocal inner
            inner += 1
            return product(values)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LinearSystem, "solve", observed_solve)
        patch.setattr(LaplacianProblem, "hessian_product", observed_product)
        call()
    if not solutions and not inner:
        return {}
    residuals = [solution.residual for solution in solutions]
    iterations = inner + sum(solution.iterations for solution in solutions)
    return {"iterations": iterations, "residual": max(residuals, default=None)}
