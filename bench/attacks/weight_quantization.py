"""Weights of few bits."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, ClassVar

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from lapbench.attacks.base.attack import Attack, Candidate, Level
from lapbench.attacks.base.model_changes import predict_changed, predicting_on
from lapbench.attacks.base.quantities import Knowledge, StepCounts
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.model import Model


def _two_or_more(bits: list[int]) -> list[int]:
    if bits[0] < 2:
        raise ValueError(f"received {bits[0]} bit, a sign without a value; must be 2 or more")
    return bits


Bits = Annotated[StepCounts, AfterValidator(_two_or_more)]


@validated(kw_only=True)
class WeightQuantization(Attack):
    """Trained weights rounded to few bits.

    Each tensor of parameters w is rounded towards 0 to multiples of 2^−(b − 2 + q) for b bits, q
    being the smallest integer with 2^q max|w| ≥ 1: a sign and b − 1 bits, which are at most
    2^b − 1 values. A tensor of zeros stays. Nothing is random: one prediction for each b.

    All stored parameters are quantised, with biases and the scale and shift of batch normalisation.
    Running means and variances are not, nor constants such as those that normalise inputs. A
    convolution of ``parseval`` multiplies by its constant after quantisation. Base sets pass
    through the quantised network, and ``bilevel`` solves its Laplacian problem again with the
    quantised graph.

    Args:
        bits: b, in increasing order, 2 or more: the first is the strongest.

    Source: label-smoothness paper, section 4.3 (5 bits), which does not print the format.

    """

    knowledge: ClassVar[Knowledge] = "chance"

    bits: Bits = Field(default_factory=lambda: [5])

    def skip(self, target: Target) -> str | None:
        """Skip where there is no weight."""
        return None if list(target.model.parameters()) else "it has no weights"

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:  # noqa: ARG002
        """Yield the prediction with the weights in each number of bits."""
        edges = target.task.edge_index
        for bits in self.bits:
            anew = nullcontext() if edges is None else predicting_on(target.model, edges)
            with _quantized(target.model, bits), anew:
                predicted = predict_changed(target, x)
            yield Candidate(Level("bits", float(bits)), x, predicted)


@contextmanager
def _quantized(model: Model, bits: int) -> Iterator[None]:
    """Let the model have quantised parameters; the exact ones come back in any case."""
    exact = [(parameter, parameter.data) for parameter in model.parameters()]
    try:
        for parameter, values in exact:
            parameter.data = quantize(values, bits)
        yield
    finally:
        for parameter, values in exact:
            parameter.data = values


def quantize(values: Tensor, bits: int) -> Tensor:
    """Values (…) rounded towards 0 to a sign and bits − 1 binary digits of the largest."""
    if not bool(values.any()):
        return values
    # max|w| = m · 2^e with m in [1/2, 1): q = 1 − e.
    _, exponent = torch.frexp(values.abs().max())
    step = 2.0 ** (int(exponent) + 1 - bits)
    return (torch.trunc(values.double() / step) * step).to(values.dtype)
