"""The plan of a suite: all its cells, with the keys that their records will have."""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from lapbench.suite.cells import Cell

SCHEMA = 4
"""Of plans and records: raised when an earlier lapbench could not read them."""

PLAN_FILE = "plan.json"

# Plans of this schema that were written earlier also have published figures, which are passed over.
_PLAN = ConfigDict(extra="ignore", strict=True)


@dataclass(frozen=True, config=_PLAN)
class PlannedCell:
    """A cell of a plan, with the key that its record will have, and labels.

    ``label`` is that of its row, ``task`` that of the task; empty where they have none. ``data`` is
    a hash of its data and their split, empty where an earlier lapbench planned it.
    """

    key: str
    gradient: str
    cell: Cell
    label: str = ""
    task: str = ""
    data: str = ""


@dataclass(frozen=True, config=_PLAN)
class Plan:
    """All cells of a suite, so that a report can say what is missing."""

    schema: int
    suite: str
    title: str
    cells: Annotated[list[PlannedCell], Field(min_length=1)]
