"""Hypergradients against the distance from the labels (bilevel paper, figure 1).

Needs: any suite with `bilevel` on a node task and `snapshot_epochs`, such as
`lapbench run bilevel-fig1` or `lapbench run bilevel-decay`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.colors import category_colors
from lapbench.reports.figures.base.layout import grid, heading, sheet
from lapbench.reports.results import Arrays, Results
from lapbench.reports.style import SMALL

PREFIX = "hypergradient_"
COLUMNS = 2
FEWEST = 5
TINY = 1e-13
CAPTION = (
    f"Dash: an edge. Diamond: median of the edges of a distance above {TINY:g} of the largest "
    "(dotted), below which is rounding. Numbers: edges that are exactly 0. Line: least squares "
    "through the logarithms of these medians in the largest component, without "
    f"distances of less than {FEWEST} edges. Edges beyond the reach of a network have no part in "
    "the computation (Theorem 3.1). Theorem 4.1 is about the MSE in the largest component, without "
    "regularisation."
)

Array = np.ndarray[Any, Any]


def draw(results: Results) -> Figure | None:
    """One panel for each cell of the first repetition, or None if no hypergradient was stored."""
    cells = list(_cells(results))
    if not cells:
        return None
    columns = min(len(cells), COLUMNS)
    figure = sheet(2.8 * -(-len(cells) // columns), columns, caption=CAPTION)
    for ax, (title, arrays) in zip(grid(figure, len(cells), columns), cells, strict=True):
        _draw_panel(ax, arrays)
        inches = figure.get_figwidth() / columns
        ax.set_title("\n".join(heading(line, inches) for line in title), loc="left")
    return figure


@dataclass(frozen=True)
class Decay:
    """A fitted exponential, level · factor^distance, and the distances that it was fitted to."""

    level: float
    factor: float
    first: int
    last: int


def decay(gradient: Array, distance: Array) -> Decay | None:
    """Exponential through the median |h| of each distance, by least squares of logs.

    Left out are hypergradients that are not finite or below 1e-13 of the largest, which are
    rounding, distances of less than 5 of the others, and those that are infinite.

    Args:
        gradient: hypergradients (E,).
        distance: of the edges (E,), in hops.

    Returns:
        None if less than two distances are left.

    """
    size = np.abs(gradient)
    kept = np.isfinite(distance) & _above_rounding(size)
    hops, edges = np.unique(distance[kept], return_counts=True)
    hops = hops[edges >= FEWEST]
    if len(hops) < 2:
        return None
    medians = [np.median(size[kept & (distance == hop)]) for hop in hops]
    slope, level = np.polyfit(hops, np.log(medians), 1)
    return Decay(float(np.exp(level)), float(np.exp(slope)), int(hops[0]), int(hops[-1]))


def describe_bound(theorem: Array, gradient: Array, distance: Array) -> str:
    """Bound of Theorem 4.1 and the largest hypergradient at its distance, in words.

    The distance is the smallest. The bound is called vacuous if even at the largest distance it
    is above every hypergradient that was found.

    Args:
        theorem: smallest and largest eigenvalue μ of B, and the bound at distance 0; that at
            distance d is this times (1 − μ_min/μ_max)^d.
        gradient: hypergradients (E,) of the edges it is about.
        distance: of these edges (E,), in hops.

    """
    smallest, largest, at_zero = map(float, theorem)
    known = np.isfinite(distance) & np.isfinite(gradient)
    if not np.isfinite(at_zero) or not known.any():
        return "Theorem 4.1: no bound"
    size, hops = np.abs(gradient[known]), distance[known]
    near, far = hops.min(), hops.max()
    ratio = smallest / largest
    bounds = at_zero * (1 - ratio) ** np.array([near, far])
    vacuous = ": vacuous" if bounds[1] > size.max() else ""
    return (
        f"Theorem 4.1: factor 1 − {ratio:.2g} a hop,\nat most {bounds[0]:.2g} at distance "
        f"{near:.0f};\nlargest found {size[hops == near].max():.2g}{vacuous}"
    )


def _above_rounding(size: Array) -> Array:
    size = np.where(np.isfinite(size), size, 0)
    return np.asarray((size > 0) & (size >= TINY * size.max(initial=0)))


def _cells(results: Results) -> Iterator[tuple[tuple[str, str], Arrays]]:
    """Yield names and arrays, those of the last epoch, of each cell that stored some."""
    first = results.records[results.records["repetition"] == 0].drop_duplicates("key")
    for cell in first.itertuples():
        arrays = results.arrays(str(cell.key))
        epochs = [name.removeprefix(PREFIX) for name in arrays if name.startswith(PREFIX)]
        if epochs:
            suffix = f"_{max(epochs, key=int)}"
            last = {
                name.removesuffix(suffix): array
                for name, array in arrays.items()
                if name.endswith(suffix)
            }
            yield (str(cell.method), str(cell.task)), last


def _draw_panel(ax: Axes, arrays: Arrays) -> None:
    gradient, distance = arrays["hypergradient"].astype(float), arrays["distance"]
    edge_color, median_color, line_color = category_colors(3)
    defined = np.isfinite(distance)
    place = np.where(defined, distance, distance[defined].max(initial=0) + 2)
    size, ticks = np.abs(gradient), np.unique(place)
    drawn = np.isfinite(size) & (size > 0)
    ax.scatter(
        place[drawn], size[drawn], color=edge_color, marker="_", s=50, alpha=0.2, rasterized=True
    )
    kept = _above_rounding(size)
    for tick in np.unique(place[kept]):
        median = np.median(size[kept & (place == tick)])
        ax.plot(tick, median, "D", color=median_color, markeredgecolor="black", markersize=4)
    if "theorem" in arrays:
        inside = gradient[arrays["largest"]], distance[arrays["largest"]]
        notes = [*_draw_decay(ax, *inside, line_color), describe_bound(arrays["theorem"], *inside)]
    else:
        notes = [*_reach(gradient, distance, arrays["reach"].item())]
    if overflown := int((~np.isfinite(size)).sum()):
        notes.append(f"not finite, left out: {overflown} edges")
    ax.text(
        0.99, 0.99, "\n".join(notes), transform=ax.transAxes, ha="right", va="top", fontsize=SMALL
    )
    _set_axes(ax, ticks, size[drawn])
    _write_zeros(ax, {tick: int((size[place == tick] == 0).sum()) for tick in ticks})
    labels = [f"{tick:.0f}" for tick in ticks]
    ax.set_xticks(ticks, labels if defined.all() else [*labels[:-1], "none"])


def _reach(gradient: Array, distance: Array, reach: int) -> Iterator[str]:
    """Yield how many edges beyond the reach of a network, if it has one, are exactly 0."""
    beyond = gradient[np.isfinite(distance) & (distance >= reach)]
    if reach and len(beyond):
        share = (beyond == 0).mean()
        yield f"exactly 0 at distances ≥ {reach}: {share:.1%} of {len(beyond)} edges"


def _draw_decay(ax: Axes, gradient: Array, distance: Array, color: str) -> Iterator[str]:
    fit = decay(gradient, distance)
    if fit is None:
        return
    hops = np.array([fit.first, fit.last])
    ax.plot(hops, fit.level * fit.factor**hops, color=color, linewidth=1.6, zorder=1.5)
    yield f"factor {fit.factor:.2f} a hop (median), distances {fit.first} to {fit.last}"


def _set_axes(ax: Axes, ticks: Array, size: Array) -> None:
    """Leave room above for the notes, and below, under a line, for the numbers of zeros."""
    low, high = np.log10([size.min(), size.max()]) if len(size) else (-1.0, 0.0)
    step = max(high - low, 1) / 10
    ax.set(yscale="log", ylim=10.0 ** np.array([low - 1.5 * step, high + 4 * step]))
    ax.set(xlabel="distance from the labels [hops]", ylabel="|hypergradient|")
    ax.set(xlim=(ticks.min() - 0.7, ticks.max() + 0.7))
    floor = 10 ** (low - 0.5 * step)
    ax.set_yticks([tick for tick in ax.get_yticks() if floor < tick <= 10**high])
    ax.set_yticks([], minor=True)
    ax.axhline(floor, color="black", linewidth=0.5)
    if low < high + np.log10(TINY):
        ax.axhline(TINY * size.max(), color="black", linestyle=":", linewidth=0.8)
    ax.grid()


def _write_zeros(ax: Axes, zeros: dict[float, int]) -> None:
    style: dict[str, Any] = {"y": 0.035, "fontsize": SMALL, "va": "center"}
    ax.text(-0.01, s="exactly 0", transform=ax.transAxes, ha="right", **style)
    for tick, count in zeros.items():
        ax.text(tick, s=str(count), transform=ax.get_xaxis_transform(), ha="center", **style)
