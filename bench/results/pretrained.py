"""Pretrained backbones: computed once, and shared by the cells of all methods."""

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass

from filelock import FileLock
from torch import Tensor, nn

from lapbench.datasets.base.task import Task
from lapbench.results.checkpoint import Checkpoints
from lapbench.results.folder import DamagedRecordError, RecordError, ResultsFolder
from lapbench.suite.cells import Cell
from lapbench.training.simclr import SimCLR, pretrain


@dataclass(frozen=True, eq=False)
class Pretrained:
    """State of a pretrained backbone, on the CPU, and the loss of each epoch of pretraining."""

    state: dict[str, Tensor]
    losses: list[float]


def pretrained_key(cell: Cell, simclr: SimCLR, x: Tensor) -> str:
    """Hash of everything that pretraining depends on.

    Of the data only the training inputs x (n, …) count, so cells of all methods, labels and budgets
    share a pretrained backbone.
    """
    digest = hashlib.sha256(str(tuple(x.shape)).encode())
    digest.update(x.contiguous().cpu().numpy().tobytes())
    identity = {
        "seeds": [cell.dataset.name, cell.repetition],
        "inputs": digest.hexdigest(),
        "backbone": asdict(cell.backbone),
        "simclr": asdict(simclr),
        "machine": [cell.device, cell.threads, cell.precision],
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def load_or_pretrain(
    cell: Cell,
    simclr: SimCLR,
    task: Task,
    folder: ResultsFolder,
    on_epoch: Callable[[int, float], None] = lambda *_: None,
) -> Pretrained:
    """Pretrained backbone of a cell, read from its results folder, or computed and stored there.

    The file is ``weights/simclr-<key>.pt``. Another process that needs the same backbone waits; if
    the first one dies, the next continues from the checkpoint.

    Args:
        cell: its backbone, seeds, device and precision are used; its method is not.
        simclr: settings of the pretraining.
        task: task of the cell, on its device.
        folder: results folder.
        on_epoch: called after every epoch of pretraining, from 1, with the loss.

    Raises:
        DivergedError: if the loss is NaN or infinite; nothing is stored.
        LapbenchError: if inputs are not images in [0, 1].

    Warns:
        RuntimeWarning: if the stored file is damaged; the backbone is pretrained again.

    """
    name = f"simclr-{pretrained_key(cell, simclr, task.train.x)}"
    lock = folder.path / "weights" / f".{name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if stored := _read(folder, name):
            return stored
        backbone = _build_backbone(cell, task)
        mixed = cell.precision == "mixed"
        checkpoints = Checkpoints(folder, name, cell)
        saved, save = checkpoints.read(), checkpoints.save
        losses = pretrain(backbone, task, simclr, cell.seeds, mixed, on_epoch, saved, save)
        state = {part: value.cpu() for part, value in backbone.state_dict().items()}
        folder.write_weights(name, {"backbone": state, "losses": losses})
        checkpoints.delete()
        return Pretrained(state, losses)


def _build_backbone(cell: Cell, task: Task) -> nn.Module:
    """Untrained backbone of a cell, as it is before terms change it."""
    return cell.with_softmax().build_model(task).backbone.to(cell.device)


def _read(folder: ResultsFolder, name: str) -> Pretrained | None:
    try:
        content = folder.read_weights(name)
    except DamagedRecordError as error:
        warnings.warn(
            f"{error}; the backbone is pretrained again now", RuntimeWarning, stacklevel=2
        )
        return None
    except RecordError:
        return None
    return Pretrained(content["backbone"], content["losses"])
