"""Neurons that fail while the model predicts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lapbench.attacks.base.attack import Attack, Candidate, Level
from lapbench.attacks.base.model_changes import predict_changed
from lapbench.attacks.base.quantities import Count, Knowledge, Shares
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.model import Model


@validated(kw_only=True)
class NeuronDropout(Attack):
    """Neurons that fail at random while the model predicts.

    After each block every value is 0 with probability p, and divided by 1 − p otherwise, each
    independently of all others and of those of other samples. Base sets, and other nodes of a
    graph, pass through the same faulty network.

    Blocks are the residual blocks of a network: members of an ``nn.Sequential``, other than another
    one, around an ``nn.ReLU``. In a network without any they are its layers, which end with an
    ``nn.ReLU``. Each part of a model, such as the backbone and WNLL's buffer, counts
    separately. Prefer ``weight-quantization`` for faults that are not random.

    Args:
        shares: p, in increasing order.
        draws: of faults, over which accuracy is averaged.

    Source: label-smoothness paper, section 4.3 (25 % and 40 %, 40 draws).

    """

    knowledge: ClassVar[Knowledge] = "chance"

    shares: Shares = Field(default_factory=lambda: [0.25, 0.4])
    draws: Count = 10

    def skip(self, target: Target) -> str | None:
        """Skip where there is no block."""
        if not _blocks(target.model):
            return "its network has no nn.ReLU, after which neurons could fail"
        return None

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:  # noqa: ARG002
        """Yield the prediction with each draw of faults, for each probability."""
        for share in self.shares:
            for _ in range(self.draws):
                with _failing(target.model, share):
                    predicted = predict_changed(target, x)
                yield Candidate(Level("share", share), x, predicted)


@contextmanager
def _failing(model: Model, share: float) -> Iterator[None]:
    """Drop out values after each block."""

    def drop(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:  # noqa: ARG001
        return functional.dropout(output, share, training=True)

    handles = [block.register_forward_hook(drop) for block in _blocks(model)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _blocks(model: Model) -> list[nn.Module]:
    return [block for part in model.children() for block in _residual_blocks(part) or _relus(part)]


def _residual_blocks(part: nn.Module) -> list[nn.Module]:
    rows = [module for module in part.modules() if isinstance(module, nn.Sequential)]
    members = [member for row in rows for member in row]
    return [
        member
        for member in members
        if not isinstance(member, nn.Sequential | nn.ReLU) and _relus(member)
    ]


def _relus(part: nn.Module) -> list[nn.Module]:
    return [module for module in part.modules() if isinstance(module, nn.ReLU)]
