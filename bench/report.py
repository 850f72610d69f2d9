"""The report of a results folder: leaderboard and figures."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lapbench import discovery
from lapbench.adversarial import PGD
from lapbench.errors import LapbenchError
from lapbench.frame import name_cells, read_planned, tidy, tidy_flags
from lapbench.methods._protocol import Budget
from lapbench.records import Plan, Record, ResultsFolder
from lapbench.report_attacks import attack_conditions, unfinished_attacks
from lapbench.reports.leaderboard import (
    further_numbers,
    leaderboard,
    to_csv,
    to_markdown,
    unfinished,
)
from lapbench.reports.results import Results
from lapbench.reports.robustness import each_attack, headline, robustness
from lapbench.reports.verdicts import verdicts

EXPLAINED = {
    "outer_accuracy": "accuracy on V_out, which is training accuracy of methods that train on it, "
    "and of bilevel the accuracy on what its graph was fitted to",
    "last_step_accuracy": "accuracy after the last step, without selection on validation",
    "hypergradient_error": "norm of the difference from the implicit hypergradient over its norm",
    "hypergradient_cosine": "cosine of the angle to the implicit hypergradient",
    "hypergradient_megabytes": "10⁶ bytes of tensors kept for the backward pass of a hypergradient",
}


@dataclass(frozen=True, eq=False)
class Report:
    """A leaderboard with what a reader must know about it, and the files that were written."""

    title: str
    board: pd.DataFrame
    robustness: pd.DataFrame
    headline: pd.DataFrame
    verdicts: list[str]
    conditions: list[str]
    unfinished: list[str]
    files: list[Path]


class FigureError(LapbenchError):
    """A figure was asked for by name and its data are missing."""


def write_report(
    results: str | Path, output: str | Path | None = None, figures: Sequence[str] = ()
) -> Report:
    """Write leaderboard and figures of a results folder, and return them.

    Args:
        results: folder that ``run`` wrote.
        output: where ``leaderboard.md``, ``leaderboard.csv`` and ``figures/`` go; by default into
            the results folder.
        figures: names; by default every figure whose data are there.

    Raises:
        RecordError: if the folder is no results folder or a file of it cannot be read.
        UnknownNameError: if there is no figure of a name.
        FigureError: if a figure's data are missing.

    """
    folder = ResultsFolder(results)
    plan, records = folder.read_plan(), read_planned(folder)
    frame = tidy(plan, records)
    target = Path(output) if output else folder.path
    wanted = [figures] if isinstance(figures, str) else figures
    drawers = {
        name: discovery.load("figures", name) for name in wanted or discovery.names("figures")
    }

    board, missing = leaderboard(frame), unfinished(frame)
    attacked = robustness(frame)
    flags = tidy_flags(plan, records)
    worst, judged = headline(attacked, flags), verdicts(attacked, flags)
    missing += unfinished_attacks(plan, records)
    about = conditions(plan, records, len(folder.list_keys()) - len(records))

    def curves(key: str) -> dict[str, list[float | None]]:
        return records[key].curves if key in records else {}

    (target / "figures").mkdir(parents=True, exist_ok=True)
    files = [target / "leaderboard.md", target / "leaderboard.csv"]
    report = Report(plan.title, board, attacked, worst, judged, about, missing, files)
    files[0].write_text(_markdown(report), encoding="utf-8")
    files[1].write_text(to_csv(board), encoding="utf-8")
    if not attacked.empty:
        files.append(target / "robustness.csv")
        files[-1].write_text(to_csv(attacked), encoding="utf-8")
    for name, module in drawers.items():
        figure = module.draw(Results(frame, folder.read_arrays, curves))
        if figure is None and wanted:
            raise FigureError(f"figure {name} has no data in {folder.path}: {module.__doc__}")
        if figure is not None:
            for ending in ("png", "svg"):
                files.append(target / "figures" / f"{name}.{ending}")
                figure.savefig(files[-1], dpi=200)
    return report


def conditions(plan: Plan, records: dict[str, Record], others: int) -> list[str]:
    """Return in sentences the budget, the seeds and the origin of the numbers."""
    cells = [planned.cell for planned in plan.cells]
    evaluations = _distinct(
        f"{e.split} split in batches of {e.batch_size}" for e in (c.evaluation for c in cells)
    )
    origins = _distinct(_origin(record) for record in records.values())
    repetitions = 1 + max(cell.repetition for cell in cells)
    attacks = _distinct(_pgd(cell.pgd) for cell in cells if cell.pgd)
    lines = [
        f"Budget: {'; '.join(_budgets(plan))}. On node tasks all nodes are one batch, also in "
        "evaluation. Methods that train in phases share these epochs among them. The weights are "
        "those of the last epoch, where no note below says otherwise.",
        f"Repetitions: {repetitions}, numbered from 0; intervals: 95 % by Student's t over them. "
        "Sampling error: the binomial standard error that the size of the split alone causes.",
        f"Evaluated on the {'; '.join(evaluations)}. Step: a training step over a "
        "natural step of softmax on as many samples, taken after each epoch in the same process; "
        "median over the epochs of a phase, mean over the phases by their epochs.",
        "Bold: the best mean accuracy and all that is not significantly worse (paired t over the "
        "common repetitions, at least five, with Holm's correction, at 5 %).",
        f"From: {'; '.join(origins) or 'no record yet'}.",
    ]
    lines += [f"Training pgd: {attack}." for attack in attacks]
    lines += attack_conditions(plan)
    notes = _distinct(discovery.load("methods", cell.method.head.name).note for cell in cells)
    lines += [f"{note[0].upper()}{note[1:]}." for note in notes if note]
    metrics = {metric.metric for record in records.values() for metric in record.metrics}
    lines += [f"{name}: {text}." for name, text in EXPLAINED.items() if name in metrics]
    if plan.published:
        lines.append(f"Published figures, not measured here: {plan.published}.")
    if any(cell.train == "inner" for cell in cells):
        lines.append("Rows with train = inner are trained without the classes of V_out.")
    labeled = _distinct(str(cell.labeled) for cell in cells if cell.labeled)
    if labeled:
        lines.append(f"Training samples that keep their class: {', '.join(labeled)}.")
    warned = Counter(
        (record.cell.method.name, text) for record in records.values() for text in record.warnings
    )
    lines += [f"Warned in {n} cell(s) of {method}: {text}." for (method, text), n in warned.items()]
    if others:
        lines.append(f"{others} record(s) in the folder belong to other plans and are left out.")
    return lines


def _pgd(attack: PGD) -> str:
    return (
        f"every mini-batch is attacked by {attack.steps} steps of {attack.step_size:.4g} in the ℓ∞ "
        f"ball of {attack.epsilon:.4g} (units of the input) from a random start, through the "
        "method's own gradient"
    )


def _budgets(plan: Plan) -> list[str]:
    """Return the budgets, and those that are not of every task with the tasks that have them."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True):
        found[_budget(planned.cell.budget)][f"{names['task']} with {names['backbone']}"] = None
    tasks = {task for having in found.values() for task in having}
    return [
        text if len(having) == len(tasks) else f"{text} on {', '.join(having)}"
        for text, having in found.items()
    ]


def _budget(budget: Budget) -> str:
    if budget.epochs == 0:
        return "no training"
    return (
        f"{budget.epochs} epochs of {budget.optimizer}, learning rate {budget.learning_rate:g} "
        f"({budget.schedule}), weight decay {budget.weight_decay:g}, batches of {budget.batch_size}"
    )


def _origin(record: Record) -> str:
    about, cell = record.provenance, record.cell
    known = not about.commit.startswith("unknown")
    commit = about.commit[:10] + about.commit[40:] if known else about.commit
    return (
        f"lapbench {about.packages['lapbench']} (commit {commit}), torch "
        f"{about.packages['torch']}, {about.accelerator or about.processor}, {cell.device}, "
        f"{cell.threads} thread(s), {about.started[:10]}"
    )


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _markdown(report: Report) -> str:
    parts = [f"# {report.title}", to_markdown(report.board)]
    further = further_numbers(report.board)
    if not further.empty:
        parts.append(f"Numbers of single methods:\n\n{_table(further)}")
    if not report.robustness.empty:
        parts += [
            "## Robustness",
            _table(report.headline),
            "\n".join(f"- {text}" for text in report.verdicts),
            _table(each_attack(report.robustness)),
        ]
    parts += ["## Conditions", "\n".join(f"- {line}" for line in report.conditions)]
    if report.unfinished:
        lines = "\n".join(f"- {line}" for line in report.unfinished)
        parts.append(f"Cells without a result:\n\n{lines}")
    return "\n\n".join(parts) + "\n"


def _table(table: pd.DataFrame) -> str:
    return str(table.to_markdown(index=False, disable_numparse=True))
