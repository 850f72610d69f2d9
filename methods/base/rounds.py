"""Budgets of training that alternates between two stages."""

from dataclasses import replace

from lapbench.methods.base.budget import Budget


def alternating_budgets(
    budget: Budget, rounds: int, second_share: float, round_factor: float = 1.0
) -> list[tuple[Budget, Budget]]:
    """Divide the epochs of a budget into rounds of two stages, one epoch each at least.

    The second stages have ``second_share`` of the epochs together. Each round multiplies the
    learning rate of the first stage by ``round_factor``.

    Raises:
        ValueError: if there are fewer epochs than stages.

    """
    if budget.epochs < 2 * rounds:
        raise ValueError(
            f"epochs: received {budget.epochs}; training in {2 * rounds} stages needs {2 * rounds} "
            "or more, one for each"
        )
    wanted = round(second_share * budget.epochs)
    second = _divide(min(max(wanted, rounds), budget.epochs - rounds), rounds)
    first = _divide(budget.epochs - sum(second), rounds)
    return [
        (
            replace(budget, epochs=one, learning_rate=budget.learning_rate * round_factor**number),
            replace(budget, epochs=two),
        )
        for number, (one, two) in enumerate(zip(first, second, strict=True))
    ]


def _divide(total: int, parts: int) -> list[int]:
    """Whole numbers that add up to a total and differ by 1 at most, larger ones first."""
    return [(total + parts - 1 - i) // parts for i in range(parts)]
