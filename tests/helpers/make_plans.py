"""Plans of suites, whose data are not read."""

from lapbench.suite.plan import SCHEMA, Plan, PlannedCell
from lapbench.suite.suite import Suite


def plan_of_suite(suite: Suite) -> Plan:
    """The plan of a suite, whose data are not read."""
    cells = suite.cells("cpu")
    planned = [PlannedCell(str(i), "exact", cell, e.label) for i, (cell, _, e) in enumerate(cells)]
    return Plan(SCHEMA, "suite", "title", planned)
