"""The plan of a suite, and what of it is to be run."""

from collections import Counter
from collections.abc import Sequence

import torch

from lapbench.attacks.base.attack import BallAttack
from lapbench.datasets.base.task import data_hash
from lapbench.errors import LapbenchError
from lapbench.suite.cells import Cell, Precision
from lapbench.suite.names import name_cells
from lapbench.suite.plan import SCHEMA, Plan, PlannedCell
from lapbench.suite.suite import Suite, SuiteError
from lapbench.suite.transfer_sources import name_sources

Bounds = tuple[float, float] | None


class SelectionError(LapbenchError):
    """The suite or this machine lacks what a run asks for; the message says what there is."""


def make_plan(suite: Suite, device: str = "cpu", precision: Precision = "float32") -> Plan:
    """All cells of a suite with their keys; loads the data to hash them.

    Raises:
        SelectionError: if the device is not there, or an attack leaves the range of the inputs.
        SuiteError: if two rows of the leaderboard would have the same name.

    """
    device = _checked_device(device)
    known: dict[tuple[str, int], tuple[str, Bounds]] = {}
    hashed = []
    for cell, task_entry, entry in suite.cells(device, precision):
        data = (repr((cell.dataset, cell.labeled, cell.train)), cell.repetition)
        if data not in known:
            task = cell.load_task()
            known[data] = data_hash(task), task.bounds
        digest, bounds = known[data]
        _check_radii(cell, bounds)
        hashed.append((cell, digest, task_entry.label, entry.label))
    cells = [cell for cell, *_ in hashed]
    if any(cell.robustness for cell in cells):
        cells = name_sources(suite.name, [(cell, digest) for cell, digest, *_ in hashed])
    planned = [
        PlannedCell(
            cell.key(digest),
            cell.method.create_head().gradient_kind,
            cell,
            label,
            task,
            digest[:16],
        )
        for cell, (_, digest, task, label) in zip(cells, hashed, strict=True)
    ]
    _check_names(suite.name, planned)
    return Plan(SCHEMA, suite.name, suite.title, planned)


def select(
    plan: Plan,
    methods: str | Sequence[str] = (),
    datasets: str | Sequence[str] = (),
    training: str | Sequence[str] = (),
) -> list[PlannedCell]:
    """The cells of a plan with one of the methods, data sets and kinds of training.

    None named means all.

    Raises:
        SelectionError: if a name is in no cell.

    """
    cells = plan.cells
    asked = {"method": methods, "dataset": datasets, "training": training}
    for kind, names in asked.items():
        wanted = [_canonical(name) for name in ([names] if isinstance(names, str) else names)]
        known = {_canonical(_name(planned, kind)) for planned in plan.cells}
        for name in wanted:
            if name not in known:
                raise SelectionError(
                    f"{kind} {name!r} is not in suite {plan.suite}, which has: "
                    f"{', '.join(sorted(known))}"
                )
        if wanted:
            cells = [planned for planned in cells if _canonical(_name(planned, kind)) in wanted]
    return cells


def _check_names(suite: str, cells: list[PlannedCell]) -> None:
    """Refuse cells that only their keys tell apart, as their results would be one row."""
    rows = Counter(
        (*names.values(), planned.cell.training, planned.cell.repetition)
        for planned, names in zip(cells, name_cells(cells), strict=True)
    )
    for (task, backbone, method, *_), count in rows.items():
        if count > 1:
            raise SuiteError(
                f"suite {suite}: received {count} methods named {method!r} on {task} with "
                f"{backbone}; each must have a name of its own; change a label or leave it out"
            )


def _check_radii(cell: Cell, bounds: Bounds) -> None:
    """Refuse an ε, in units of the input, that is beyond the range of the inputs."""
    if not bounds:
        return
    radii = [("pgd.epsilon", "linf", cell.pgd.units, cell.pgd.epsilon)] if cell.pgd else []
    if about := cell.robustness:
        radii.append(("robustness.epsilon", about.norm, about.units, about.epsilon or 0))
        for planned in about.attacks:
            attack = planned.create()
            if isinstance(attack, BallAttack):
                place = f"epsilons of attack {planned.label}"
                radii.append((place, attack.norm, attack.units, attack.epsilons[-1]))
    for place, norm, units, epsilon in radii:
        if (norm, units) == ("linf", "input") and epsilon > bounds[1] - bounds[0]:
            raise SelectionError(
                f"{place}: received {epsilon:g}; inputs of {cell.dataset.name} are in {bounds}, "
                "so it must be at most their range (8/255 is 0.0314)"
            )


def _canonical(name: str) -> str:
    """A name in one order of its parts, softmax left out where there are terms."""
    parts = sorted(part.strip() for part in name.split("+"))
    return " + ".join([part for part in parts if part != "softmax"] or parts)


def _name(planned: PlannedCell, kind: str) -> str:
    cell = planned.cell
    return cell.training if kind == "training" else str(getattr(cell, kind).name)


def _checked_device(name: str) -> str:
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cpu":
        return "cpu"
    if device.type != "cuda":
        raise SelectionError(f"device: received {name!r}; must be cpu, cuda, cuda:0, …")
    if (device.index or 0) >= torch.cuda.device_count():
        raise SelectionError(
            f"device: received {name!r}; torch {torch.__version__} finds "
            f"{torch.cuda.device_count()} GPU(s); use --device cpu, or install torch with CUDA"
        )
    return name
