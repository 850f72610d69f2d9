"""What a figure shows, for the tests of figures."""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def drawn(figure: Figure | None) -> Figure:
    """The figure, after it has been written like those of a report, warnings being errors."""
    assert figure is not None
    figure.savefig(io.BytesIO(), dpi=50)
    return figure


def texts(ax: Axes) -> list[str]:
    """What is written in a panel."""
    return [text.get_text() for text in ax.texts]
