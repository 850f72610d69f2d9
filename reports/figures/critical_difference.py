"""Mean ranks of the methods across data sets, and which differ significantly.

Needs: three methods or more that are finished on three data sets or more, such as
`lapbench run default`; with fewer data sets no difference could be significant.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.figures.base.layout import LINE, sheet
from lapbench.reports.results import Results
from lapbench.reports.statistics.ranks import (
    Means,
    Nemenyi,
    describe_tests,
    mean_accuracies,
    nemenyi,
    obstacle,
)
from lapbench.reports.statistics.ranks import describe as describe_ranks
from lapbench.reports.style import PAGE, SMALL, shown

CAPTION = (
    "Lines: mean ranks of the methods by mean accuracy on each data set, 1 is the best. Bars join "
    "methods that are not told apart at 5 %. CD: Nemenyi's critical difference."
)
LETTERS = 26
_MARGIN = 2.0
"""Room for the names on each side of the axis, in inches."""
_AXIS = 0.42
_BAR = 0.07
_MOST_TICKS = 15


def draw(results: Results) -> Figure | None:
    """One diagram for each kind of training, or None if none can be made."""
    tested = _drawable(results)
    if not tested:
        return None
    ranks = [nemenyi(means.table) for means in tested]
    heights = [_height(each) for each in ranks]
    figure = sheet(sum(heights) + 0.25 * len(tested), caption=_caption(tested))
    axes = figure.subplots(len(tested), squeeze=False, height_ratios=heights)[:, 0]
    for ax, means, each, height in zip(axes, tested, ranks, heights, strict=True):
        power = f" (low power: N = {len(means.table)})" if each.low_power else ""
        ax.set_title(f"{shown(means.training)} training{power}", loc="left")
        ax.set(xlim=(0, PAGE), ylim=(height, 0))
        ax.set_axis_off()
        _draw_axis(ax, each)
        _draw_cliques(ax, each)
        _draw_methods(ax, each, results.colors())
    return figure


def describe(results: Results) -> str:
    """Mean ranks and the tests in words."""
    return " ".join(describe_ranks(means) for means in _drawable(results))


def _drawable(results: Results) -> list[Means]:
    return [means for means in mean_accuracies(results.records) if not obstacle(means.table)]


def _caption(tested: list[Means]) -> str:
    texts = [CAPTION]
    for means in tested:
        left_out = "; ".join(shown(text, 72) for text in means.left_out)
        more = f" Left out: {left_out}." if left_out else ""
        texts.append(f"With {shown(means.training)} training: {describe_tests(means.table)}{more}")
    return " ".join(texts)


def _height(ranking: Nemenyi) -> float:
    return _first_name(ranking) + LINE * (-(-len(ranking.mean_ranks) // 2))


def _first_name(ranking: Nemenyi) -> float:
    """Inches from the top to the first names."""
    return _AXIS + _BAR * (len(_levels(ranking)) + 1) + LINE


def _place(ranking: Nemenyi, rank: float) -> float:
    return _MARGIN + (PAGE - 2 * _MARGIN) * (rank - 1) / (len(ranking.mean_ranks) - 1)


def _levels(ranking: Nemenyi) -> list[list[tuple[float, float]]]:
    """Bars as pairs of ranks, in lines where no two of them touch."""
    levels: list[list[tuple[float, float]]] = []
    for clique in ranking.cliques:
        first, last = ranking.mean_ranks[clique[0]], ranking.mean_ranks[clique[-1]]
        free = next((level for level in levels if level[-1][1] < first), None)
        if free is None:
            levels.append(free := [])
        free.append((first, last))
    return levels


def _draw_axis(ax: Axes, ranking: Nemenyi) -> None:
    """Draw the ranks from the best on, and above them the length of the critical difference."""
    methods = len(ranking.mean_ranks)
    start, end = _place(ranking, 1), _place(ranking, 1 + ranking.critical_difference)
    ax.plot([start, end], [0.12] * 2, color="black", linewidth=1, marker="|", markersize=5)
    about = f"CD = {ranking.critical_difference:.2f}"
    ax.text(end + 0.06, 0.12, about, fontsize=SMALL, va="center")
    ax.plot([start, _place(ranking, methods)], [_AXIS] * 2, color="black", linewidth=0.8)
    for rank in range(1, methods + 1, -(-methods // _MOST_TICKS)):
        ax.plot([_place(ranking, rank)] * 2, [_AXIS - 0.05, _AXIS], color="black", linewidth=0.8)
        ax.text(_place(ranking, rank), _AXIS - 0.07, f"{rank}", fontsize=SMALL, ha="center")


def _draw_cliques(ax: Axes, ranking: Nemenyi) -> None:
    for level, bars in enumerate(_levels(ranking), 1):
        for first, last in bars:
            ends = [_place(ranking, first) - 0.04, _place(ranking, last) + 0.04]
            y = _AXIS + _BAR * level
            ax.plot(ends, [y, y], color="black", linewidth=2.5, solid_capstyle="butt", zorder=3)


def _draw_methods(ax: Axes, ranking: Nemenyi, colors: dict[str, str]) -> None:
    """Draw a line from the axis to each name: the better half on the left, the others right."""
    left = -(-len(ranking.mean_ranks) // 2)
    for number, (method, rank) in enumerate(ranking.mean_ranks.items()):
        on_left = number < left
        row = number if on_left else len(ranking.mean_ranks) - 1 - number
        y = _first_name(ranking) + LINE * row
        x, edge = _place(ranking, rank), _MARGIN - 0.15 if on_left else PAGE - _MARGIN + 0.15
        ax.plot([x, x, edge], [_AXIS, y, y], color=colors[method], linewidth=1.2)
        name, digits = shown(method, LETTERS), f"{rank:.2f}"
        if on_left:
            ax.text(edge - 0.05, y, f"{name}  {digits}", fontsize=SMALL, va="center", ha="right")
        else:
            ax.text(edge + 0.05, y, f"{digits}  {name}", fontsize=SMALL, va="center")
