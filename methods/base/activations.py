"""What flows into and out of the ReLU layers of a model, for terms."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

Observe = Callable[[Tensor, Tensor], None]


@contextmanager
def observing_relus(model: nn.Module, observe: Observe) -> Iterator[None]:
    """Call ``observe(pre_activation, post_activation)`` at each ReLU, in the order of the pass.

    Raises:
        ValueError: if a ReLU works in place, as its input is then lost.

    """

    def hook(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        if module.inplace:
            raise ValueError("nn.ReLU(inplace=True): its input is lost; must be inplace=False")
        observe(inputs[0], output)

    handles = [relu.register_forward_hook(hook) for relu in _relus(model)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def count_relus(model: nn.Module) -> int:
    """How many ReLU layers a model has."""
    return len(_relus(model))


def _relus(model: nn.Module) -> list[nn.ReLU]:
    return [module for module in model.modules() if isinstance(module, nn.ReLU)]
