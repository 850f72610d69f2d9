"""Transfer attacks: the trained models of other cells that they need."""

from collections.abc import Sequence

from lapbench.attacks.base.target import TransferSources
from lapbench.errors import LapbenchError, NotApplicableError
from lapbench.methods.base.model import Model
from lapbench.results.folder import ResultsFolder
from lapbench.results.models import load_model
from lapbench.suite.cells import Cell
from lapbench.suite.plan import Plan, PlannedCell


def check_sources(cells: Sequence[PlannedCell], plan: Plan, folder: ResultsFolder) -> None:
    """Refuse a source given by its key that is not in the folder, or has no trained model.

    Raises:
        LapbenchError: naming the key and what is accepted.

    """
    planned = {each.key for each in plan.cells}
    given = {key for cell in cells for key in cell.cell.sources.values() if key not in planned}
    for key in sorted(given):
        if not folder.record_path(key).is_file() or folder.read_record(key).status != "ok":
            raise LapbenchError(
                f"received the transfer source {key}; {folder.path} has no such record with a "
                "model; must be one in records/ with status ok"
            )


def sources_of(cell: Cell, folder: ResultsFolder) -> TransferSources:
    """What loads the models that a cell's attacks use, from the folder of its results."""

    def load(name: str) -> Model:
        if name not in cell.sources:
            raise NotApplicableError("other cells take their transfer attacks from it")
        if not folder.record_path(cell.sources[name]).is_file():
            raise LapbenchError(f"source {name!r} of the transfer attack has no record yet")
        try:
            record = folder.read_record(cell.sources[name])
            if record.status in ("diverged", "skipped"):
                raise NotApplicableError(
                    f"its source {record.key} is {record.status}: {record.reason}"
                )
            return load_model(record.key, folder.path).to(cell.device)
        except LapbenchError as error:
            raise LapbenchError(f"source {name!r} of the transfer attack: {error}") from error

    return load
