"""Loading a trained model from a results folder."""

from pathlib import Path

from lapbench.datasets.base.task import data_hash
from lapbench.methods.base.model import Model
from lapbench.results.folder import RecordError, ResultsFolder


def load_model(key: str, results: str | Path) -> Model:
    """Trained model of a cell, on the CPU and in evaluation mode.

    Its state, including the base set of a graph method, is the evaluated one, so predictions in
    the same batches are equal. Weights are read without executing code.

    Args:
        key: of the record, or its first letters if they are unique.
        results: folder that ``run`` wrote.

    Raises:
        RecordError: if no record, or more than one, begins with the key, or the cell has no
            trained model.

    """
    folder = ResultsFolder(results)
    record = folder.find_record(key)
    if record.status != "ok":
        raise RecordError(
            f"cell {record.key} has no trained model: {record.status}, {record.reason}"
        )
    task = record.cell.load_task()
    if record.cell.key(data_hash(task)) != record.key:
        raise RecordError(
            f"cell {record.key} was trained on other data, or by another version of its method; "
            "load it with the lapbench and the data that made it"
        )
    model = record.cell.build_model(task)
    model.load_state_dict(folder.read_weights(record.key))
    return model.eval()
