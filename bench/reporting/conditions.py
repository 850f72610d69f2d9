"""Sentences on the conditions of a report: budgets, repetitions, origin, meaning of numbers."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from lapbench import discovery
from lapbench.reporting.attack_conditions import attack_conditions, unit_conditions
from lapbench.results.records import Record
from lapbench.suite.names import name_cells
from lapbench.suite.plan import Plan
from lapbench.training.adversarial import AdversarialTraining

EXPLAINED = {
    "outer_accuracy": "accuracy on V_out, which is training accuracy of methods that train on it, "
    "and of bilevel the accuracy on what its graph was fitted to",
    "last_step_accuracy": "accuracy after the last step, without selection on validation",
    "hypergradient_error": "norm of the difference from the implicit hypergradient over its norm",
    "hypergradient_cosine": "cosine of the angle to the implicit hypergradient",
    "hypergradient_megabytes": "10⁶ bytes of tensors kept for the backward pass of a hypergradient",
}


def conditions(plan: Plan, records: dict[str, Record], others: int) -> list[str]:
    """Sentences on budget, repetitions, evaluation and origin of the numbers."""
    cells = [planned.cell for planned in plan.cells]
    evaluations = _distinct(
        f"{e.split} split in batches of {e.batch_size}" for e in (c.evaluation for c in cells)
    )
    origins = _distinct(_origin(record) for record in records.values())
    repetitions = _repetitions(plan)
    attacks = _distinct(_pgd(cell.pgd) for cell in cells if cell.pgd)
    lines = [
        f"Budget: {'; '.join(_budgets(plan))}. On node tasks all nodes are one batch, also in "
        "evaluation. Methods that train in phases share these epochs among them. The weights are "
        "those of the last epoch, where no note below says otherwise.",
        f"Repetitions: {repetitions}; intervals: 95 % by Student's t over them. "
        "Sampling error: the binomial standard error that the size of the split alone causes.",
        f"Evaluated on the {'; '.join(evaluations)}. Step: a training step over a "
        "natural step of softmax on as many samples, taken right after it in the same process; "
        "median over up to three steps of each epoch of a phase, mean over the phases by epochs.",
        "Saved: what a training step on a full batch saves for its backward pass, in 10⁶ bytes; "
        "parameters and the batch do not count. Of several phases, the one that saves most.",
        "Bold: the best mean accuracy and all that is not significantly worse (paired t over the "
        "common repetitions, at least five, with Holm's correction, at 5 %).",
        f"From: {'; '.join(origins) or 'no record yet'}.",
    ]
    scales = [scale for scale in dict.fromkeys(cell.scale for cell in cells) if scale < 1]
    lines += [
        f"Scale: {scale} of the suite's epochs (4 at least), training and validation samples (25 "
        "of a class in training at least) and attacked samples; batches shrink too (to 50), and "
        "with them the learning rate. The test data are whole, and so are graphs of nodes."
        for scale in scales
    ]
    if any(cell.precision == "mixed" for cell in cells):
        lines.append(
            "Mixed precision: backbones trained in bfloat16 where autocast does; graphs, losses, "
            "node tasks and evaluation are in float32."
        )
    lines += [
        f"Backbones were pretrained without labels, once for all methods of a repetition: {simclr}."
        for simclr in _distinct(str(cell.simclr) for cell in cells if cell.simclr)
    ]
    lines += [f"Training pgd: {attack}." for attack in attacks]
    lines += attack_conditions(plan)
    lines += unit_conditions(plan, records)
    notes = _distinct(discovery.load("methods", cell.method.head.name).note for cell in cells)
    lines += [f"{note[0].upper()}{note[1:]}." for note in notes if note]
    metrics = {metric.metric for record in records.values() for metric in record.metrics}
    lines += [f"{name}: {text}." for name, text in EXPLAINED.items() if name in metrics]
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


def _repetitions(plan: Plan) -> str:
    rows: Counter[tuple[str, ...]] = Counter()
    for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True):
        rows[*names.values(), planned.cell.training] += 1
    fewest, most = min(rows.values()), max(rows.values())
    return f"{most}" if fewest == most else f"{fewest} to {most}, by row"


def _pgd(attack: AdversarialTraining) -> str:
    return (
        f"every mini-batch is attacked by {attack.steps} steps of {attack.step_size:.4g} in the ℓ∞ "
        f"ball of {attack.epsilon:.4g} ({attack.units} units) from a random start, through the "
        "method's own gradient"
    )


def _budgets(plan: Plan) -> list[str]:
    """Distinct budgets; those that not all tasks share name their tasks."""
    places: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True):
        places[str(planned.cell.budget)][f"{names['task']} with {names['backbone']}"] = None
    tasks = {task for having in places.values() for task in having}
    return [
        text if len(having) == len(tasks) else f"{text} on {', '.join(having)}"
        for text, having in places.items()
    ]


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
