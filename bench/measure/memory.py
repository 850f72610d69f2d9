"""Memory of a training step: the bytes that it saves for its backward pass, beside softmax."""

import warnings
from dataclasses import replace
from itertools import chain

import torch

from lapbench.datasets.base.task import Task
from lapbench.measure.probe import distinct_phases, probe_phase
from lapbench.methods.base.capabilities import Phase
from lapbench.methods.base.model import Model
from lapbench.methods.base.saved_tensors import count_saved_bytes
from lapbench.suite.cells import Cell


def saved_bytes(cell: Cell, task: Task) -> tuple[int | None, int | None]:
    """Bytes that a training step saves for its backward pass, and those of softmax.

    It is the most that autograd holds at any moment of the step: activations, copies of the inputs,
    and whatever else a backward pass needs. A storage counts once, with all its bytes. Parameters,
    buffers, and the batch itself do not count; nor do gradients, the state of the optimizer, memory
    that is freed before the backward pass, and what a custom function holds without
    ``save_for_backward`` (a sparse matrix and its factors).

    The step has a full batch, the terms of the last epoch, and the attack of adversarial training;
    of all phases the one that saves most counts. Softmax has the same backbone and no attack. Both
    are new models, so that the numbers depend on nothing trained, and are the same in every run.

    None, None where nothing is trained; a failure is a warning.
    """
    try:
        with warnings.catch_warnings():
            # Training has given the warnings of its steps already.
            warnings.simplefilter("ignore")
            own = _bytes_of_phases(cell, task)
            softmax = replace(cell.with_softmax(), pgd=None)
            return (max(own), max(_bytes_of_phases(softmax, task))) if own else (None, None)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(f"the memory of a step was not measured: {reason}", stacklevel=2)
        return None, None


def _bytes_of_phases(cell: Cell, task: Task) -> list[int]:
    model = cell.build_model(task).to(cell.device)
    return [_bytes(cell, task, model, phase) for phase, *_ in distinct_phases(model, cell.budget)]


def _bytes(cell: Cell, task: Task, model: Model, phase: Phase) -> int:
    torch.manual_seed(cell.seeds.integer("memory"))
    with probe_phase(cell, task, model, phase) as probe:
        batch = probe.make_batch()
        ignored = chain(model.parameters(), model.buffers(), [batch.x, batch.y])
        with count_saved_bytes(ignored) as saved:
            probe.step(batch)
        return saved.peak
