"""What some models have and others have not; the harness asks for these, never for a model's class.

A model derives from :class:`~lapbench.methods.base.model.Model` and from each capability that it
has. Functions at the end say what holds for a model without.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.model import Model

Stage = Callable[[], dict[str, float] | None]


@dataclass(frozen=True, eq=False)
class Phase:
    """Epochs of training that change some parameters and keep the others as they are.

    Attributes:
        name: for progress and messages.
        budget: of this phase alone; its optimiser and schedule start anew.
        parameters: those that are trained.

    """

    name: str
    budget: Budget
    parameters: Sequence[nn.Parameter]


class TrainsInPhases(ABC):
    """A model that does not train all its parameters in one phase."""

    @abstractmethod
    def phases(self, budget: Budget) -> list[Phase]:
        """The phases of training, whose epochs add up to those of the budget.

        None at all leaves the model as it is, whatever the budget.
        """

    def start_phase(self, phase: Phase) -> None:  # noqa: B027
        """Prepare for a phase; called before its first epoch."""


class HoldsOut(ABC):
    """A model that keeps training samples out of the mini-batches: its base set, say."""

    @abstractmethod
    def start_epoch(self, task: Task, rng: np.random.Generator) -> Tensor:
        """Prepare for an epoch; return the rows of ``task.train`` to leave out of its batches."""

    def finish(self, task: Task, rng: np.random.Generator) -> None:  # noqa: B027
        """Fix everything that prediction needs; called once, after the last epoch."""


class HasCheckpointState(ABC):
    """A model of which the next epoch depends on more than ``state_dict``."""

    @abstractmethod
    def checkpoint_state(self) -> dict[str, Any]:
        """The state for a checkpoint: tensors, numbers, texts, None, and tables of them."""

    @abstractmethod
    def resume(self, state: dict[str, Any]) -> None:
        """Take over what ``checkpoint_state`` returned, ``state_dict`` being loaded."""


class HasBaseSet(ABC):
    """A model that predicts from labelled samples, drawn from the training split."""

    @abstractmethod
    def with_cached_base_set(self) -> Model:
        """The trained model with what prediction needs of its base set computed once.

        For attacks, which predict often: parameters and mode must not change while it is used.
        """

    @abstractmethod
    def with_resampled_base_set(self, task: Task, rng: np.random.Generator) -> Model:
        """The trained model with another base set."""


class HasExactGradient(ABC):
    """A model whose ``forward`` has the gradient of a surrogate."""

    @abstractmethod
    def exact(self, x: Tensor) -> Tensor:
        """Log-probabilities (n, c) with their exact gradient."""


class UsesEdges:
    """A model, or a module in one, whose outputs depend on the edges (2, E) of a node task.

    It is no ``ABC``, as ``higher`` could then not derive from the networks that have it.
    """

    edge_index: Tensor

    refuses_new_edges: str = ""
    """Why no edge can be added; empty where each can."""

    @contextmanager
    def on_edges(self, edges: Tensor) -> Iterator[None]:
        """Let it, and all in it, predict on edges (2, E), i < j, with nothing kept from others.

        Trained parameters stay as they are, and the own edges come back in any case.
        """
        parts = self.modules() if isinstance(self, nn.Module) else [self]
        with ExitStack() as stack:
            for part in parts:
                if isinstance(part, UsesEdges):
                    stack.enter_context(exchanged(part, "edge_index", edges))
            yield


class HasLayers(ABC):
    """A model whose outputs are those of modules one after the other, as verifiers need them."""

    no_layers: str = ""
    """Why it has none after all, as with a backbone that is no sequence; empty where it has."""

    @abstractmethod
    def layers(self) -> list[nn.Module]:
        """The modules that lead from inputs to outputs, in their order."""


class HasNumbers:
    """A model with numbers, arrays or timed stages of its own."""

    def track(self, task: Task) -> dict[str, float]:  # noqa: ARG002
        """Numbers after an epoch, to be stored as curves."""
        return {}

    def measure(self, split: Split, batch_size: int) -> dict[str, float]:  # noqa: ARG002
        """Metrics of the trained model, beside those of all."""
        return {}

    def arrays(self) -> dict[str, Tensor]:
        """Arrays after an epoch, stored where figures ask for it."""
        return {}

    def stages(self, task: Task) -> dict[str, Stage]:  # noqa: ARG002
        """The steps of one forward and backward pass on ``task.train``, to be timed.

        They run in their order, each on what the ones before it left, and may return numbers
        (iterations, say).
        """
        return {}


@contextmanager
def exchanged(owner: object, name: str, value: Any) -> Iterator[None]:
    """Let an attribute have another value for a while."""
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


_CAPABILITIES: tuple[type, ...] = (
    TrainsInPhases,
    HoldsOut,
    HasCheckpointState,
    HasBaseSet,
    HasExactGradient,
    UsesEdges,
    HasLayers,
    HasNumbers,
)


def refuse_undeclared(model: Model) -> None:
    """Refuse a model with a method of a capability that it does not derive from.

    Raises:
        TypeError: naming both, as the harness would never call the method.

    """
    for capability in _CAPABILITIES:
        if isinstance(model, capability):
            continue
        for name in vars(capability):
            if not name.startswith("_") and callable(getattr(type(model), name, None)):
                raise TypeError(
                    f"{type(model).__name__} has {name}(), but is not a {capability.__name__}; "
                    "derive from this class of lapbench.plugin too, or rename the method"
                )


def phases_of(model: Model, budget: Budget) -> list[Phase]:
    """The phases of training that have epochs; by default one, of all parameters.

    Raises:
        ValueError: if their epochs are not those of the budget.

    """
    if not isinstance(model, TrainsInPhases):
        phases = [Phase("training", budget, list(model.parameters()))]
    else:
        phases = model.phases(budget)
    total = sum(phase.budget.epochs for phase in phases)
    if phases and total != budget.epochs:
        raise ValueError(
            f"phases: received {total} epochs; must be {budget.epochs}, as the budget has"
        )
    return [phase for phase in phases if phase.budget.epochs]


def start_phase(model: Model, phase: Phase) -> None:
    """Prepare a model for a phase."""
    if isinstance(model, TrainsInPhases):
        model.start_phase(phase)


def start_epoch(model: Model, task: Task, rng: np.random.Generator) -> Tensor:
    """Prepare a model for an epoch; return the training rows to leave out, by default none."""
    if isinstance(model, HoldsOut):
        return model.start_epoch(task, rng)
    return torch.empty(0, dtype=torch.int64)


def finish(model: Model, task: Task, rng: np.random.Generator) -> None:
    """Let a model fix what its prediction needs, after the last epoch."""
    if isinstance(model, HoldsOut):
        model.finish(task, rng)


def with_cached_base_set(model: Model) -> Model:
    """A trained model for many predictions; itself where it has no base set."""
    return model.with_cached_base_set() if isinstance(model, HasBaseSet) else model


def numbers_of(model: Model) -> HasNumbers:
    """What knows a model's own numbers: the model, or something that has none."""
    return model if isinstance(model, HasNumbers) else HasNumbers()
