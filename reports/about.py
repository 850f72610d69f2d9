"""Texts about a figure: its title, the data it needs, and its text alternative."""

from types import ModuleType

import pandas as pd

from lapbench.reports.results import Results
from lapbench.reports.style import shortened

PANELS = 8
"""Largest number of panels that a text alternative describes."""


def title(module: ModuleType) -> str:
    """First line of a figure's docstring."""
    return (module.__doc__ or "").partition("\n")[0]


def needs(module: ModuleType) -> str:
    """Second paragraph of a figure's docstring: the data it needs, and what to run."""
    return " ".join((module.__doc__ or "").split("\n\n")[1].split())


def alternative(module: ModuleType, results: Results) -> str:
    """Text alternative of a figure: its own description, or its title and caption."""
    if hasattr(module, "describe"):
        text: str = module.describe(results)
        return text
    return " ".join([title(module), getattr(module, "CAPTION", "")]).strip()


def highest_first(titled: list[tuple[str, pd.DataFrame]]) -> str:
    """Mean values of each method in per cent, for the first panels of a figure.

    Args:
        titled: title of each panel and its rows, with columns ``method`` and ``value``.

    """
    parts = []
    for about, rows in titled[:PANELS]:
        means = rows.groupby("method")["value"].mean().sort_values(ascending=False)
        listed = [f"{shortened(str(name))} {100 * mean:.1f} %" for name, mean in means.items()]
        parts.append(f"{shortened(about, 96)}: {', '.join(listed)}.")
    if len(titled) > PANELS:
        parts.append(f"And {len(titled) - PANELS} more panels.")
    return " ".join(parts)
