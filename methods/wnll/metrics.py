"""What is measured of a weighted nonlocal Laplacian beside its probabilities."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional


def majority_vote(values: Sequence[Tensor]) -> Tensor:
    """Class (n,) that has the largest value in most of the arrays (n, c).

    Ties go to the lower class.

    Source: WNLL paper, section 3.1: the final label is a vote over the template's batches.
    """
    given = torch.stack([each.argmax(dim=1) for each in values])
    votes = functional.one_hot(given, values[0].shape[1]).sum(dim=0)
    return votes.argmax(dim=1)


def gradient_cosines(
    batches: Iterable[tuple[Tensor, Tensor, Tensor]], weights: Tensor
) -> dict[str, float]:
    """Cosines between the gradients of two losses, over all batches together.

    Where a gradient is 0 there is none.

    Args:
        batches: the exact loss of each, the surrogate one, and the features X̂ that they are of.
        weights: the weights of the buffer that made X̂.

    """
    gradients = [
        [torch.autograd.grad(loss, [features, weights], retain_graph=True) for loss in losses]
        for *losses, features in batches
    ]
    exact, surrogate = zip(*gradients, strict=True)
    at_features = [torch.cat([g for g, _ in kind]) for kind in (exact, surrogate)]
    at_weights = [torch.stack([g for _, g in kind]).sum(dim=0) for kind in (exact, surrogate)]
    pairs = {"outputs": at_features, "weights": at_weights}
    return {
        f"gradient_cosine_buffer_{name}": float(
            functional.cosine_similarity(one.flatten(), other.flatten(), dim=0)
        )
        for name, (one, other) in pairs.items()
        if bool(one.any()) and bool(other.any())
    }
