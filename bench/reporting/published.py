"""The numbers of the papers' tables, read from ``published.toml``."""

import math
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import Field

from lapbench.datasets.base.validated import validated
from lapbench.suite.components import parse
from lapbench.training.adversarial import AdversarialTraining

Named = dict[str, dict[str, Any]]
_One = Annotated[Named, Field(min_length=1, max_length=1)]
_AtMostOne = Annotated[Named, Field(max_length=1)]


@validated(kw_only=True)
class PublishedNumber:
    """A number that a paper prints, and the cell it belongs to.

    Attributes:
        source: paper, table, row and column.
        value: a share.
        dataset, backbone, method, attack: names with options; ``published.toml`` explains them.
        labeled, train, pgd: those of the cell.
        pretrained: whether the backbone was pretrained by SimCLR, with any settings.
        samples: number of attacked samples.
        metric: by default accuracy, under an attack robust accuracy.
        budget: in words; empty if nothing is trained.
        caveats: remarks for the reader.

    """

    source: str
    value: Annotated[float, Field(ge=0, le=1)]
    dataset: _One
    method: Annotated[Named, Field(min_length=1)]
    backbone: _AtMostOne = Field(default_factory=dict)
    attack: _AtMostOne = Field(default_factory=dict)
    labeled: Annotated[int, Field(ge=1)] | None = None
    train: Literal["all", "inner"] = "all"
    pgd: AdversarialTraining | None = None
    pretrained: bool = False
    samples: Annotated[int, Field(ge=1)] | None = None
    metric: str = ""
    budget: str = ""
    caveats: list[str] = Field(default_factory=list)


@cache
def entries() -> tuple[PublishedNumber, ...]:
    """All numbers of ``published.toml``."""
    text = resources.files("lapbench.reports").joinpath("published.toml").read_text("utf-8")
    file = tomllib.loads(text)
    return tuple(entry for table in file.pop("tables") for entry in _of_table(table, **file))


def _of_table(
    table: dict[str, Any], papers: dict[str, str], methods: dict[str, Named]
) -> Iterator[PublishedNumber]:
    source = f"{papers[table.pop('paper')]}, table {table.pop('table')}"
    printed, columns = table.pop("printed"), table.pop("columns", [{}])
    for row in table.pop("rows"):
        for column, number in zip(columns, row["numbers"], strict=True):
            if math.isnan(number):
                continue
            parts = (table, column, row)
            fields = {**table, **column, **row}
            names = [part["name"] for part in (row, column) if "name" in part]
            del fields["name"], fields["numbers"]
            fields |= {
                "source": ", ".join([source, *names]),
                "value": _share(number, printed),
                "method": methods[fields["method"]],
                "caveats": [text for part in parts for text in part.get("caveats", [])],
            }
            entry: PublishedNumber = parse(PublishedNumber, fields)
            yield entry


def _share(number: float, printed: str) -> float:
    """Accuracy as a share, from an accuracy or an error in per cent."""
    accuracies = {"accuracy [%]": number, "error [%]": 100 - number}
    return round(accuracies[printed] / 100, 6)
