"""What is measured of a weighted nonlocal Laplacian beside its probabilities."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def majority_vote(values: Sequence[Tensor]) -> Tensor:
    """Return the class (n,) to which most of the values (n, c) give the largest share.

    Ties go to the lower class.

    Source: WNLL paper, section 3.1: the final label is a vote over the template's batches.
    """
    given = torch.stack([each.argmax(dim=1) for each in values])
    votes = functional.one_hot(given, values[0].shape[1]).sum(dim=0)
    return votes.argmax(dim=1)


def gradient_cosines(
    exact: Tensor, surrogate: Tensor, variables: dict[str, Tensor]
) -> dict[str, float]:
    """Return the cosine between the gradients of two losses of equal value in each variable."""
    tensors = list(variables.values())
    one, two = (
        torch.autograd.grad(loss, tensors, retain_graph=True) for loss in (exact, surrogate)
    )
    return {
        f"gradient_cosine_{name}": float(
            functional.cosine_similarity(a.flatten(), b.flatten(), dim=0)
        )
        for name, a, b in zip(variables, one, two, strict=True)
    }
