"""Refuses repeated entries of a suite, whose results would count twice."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lapbench.methods.base.budget import Budget
from lapbench.suite.entries import MethodEntry, TaskEntry


def refuse_equal_cells(
    tasks: list[tuple[str, TaskEntry | None]],
    methods: list[tuple[str, MethodEntry | None]],
    budget: Budget,
    mistakes: list[str],
) -> None:
    """Add to the mistakes the entries whose cells are those of another."""
    budgets = [task and replace(budget, **task.budget) for _, task in tasks]
    run = [
        (place, task and (task.dataset, task.backbone, task.labeled, own))
        for (place, task), own in zip(tasks, budgets, strict=True)
    ]
    refuse_repeated(run, mistakes)
    for own in budgets or [budget]:
        trained = [
            (place, (method.method, method.train, replace(own or budget, **method.budget)))
            for place, method in methods
            if method
        ]
        refuse_repeated(trained, mistakes)


def refuse_repeated(placed: list[tuple[str, Any]], mistakes: list[str]) -> None:
    """Add repeated entries to the mistakes; those of one place are of its grid."""
    entries = [entry for _, entry in placed]
    for i, (place, entry) in enumerate(placed):
        first = entries.index(entry)
        other = placed[first][0]
        if first < i and entry is not None and place == other:
            mistakes.append(f"{place}.grid: a combination is repeated; remove a value")
        elif first < i and entry is not None:
            mistakes.append(f"{place}: is repeated, equal to {other}; remove one of them")


def numbered(entries: Sequence[Any], field: str) -> list[tuple[str, Any]]:
    """Entries with their places in a field."""
    return [(f"{field}[{i}]", entry) for i, entry in enumerate(entries)]
