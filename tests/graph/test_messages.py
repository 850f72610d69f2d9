"""Sums of messages are those of a dense matrix, and so are their derivatives."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from lapbench.methods.graph.messages import Messages

NODES = 5
EDGES = {
    "random": [(0, 1), (3, 0), (2, 4), (1, 0), (4, 3), (0, 2)],
    "repeated": [(1, 0), (2, 0), (1, 0), (1, 0), (4, 4), (4, 4)],
    "isolated": [(0, 4), (4, 0)],
    "none": [],
}


def graph(edges: list[tuple[int, int]], dtype: torch.dtype) -> tuple[Messages, Tensor, Tensor]:
    """Messages along pairs of sender and receiver, with weights (E,) and values (n, 3)."""
    generator = torch.Generator().manual_seed(0)
    senders, receivers = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T
    weights = torch.randn(len(edges), generator=generator, dtype=dtype)
    values = torch.randn(NODES, 3, generator=generator, dtype=dtype)
    return (Messages(senders, receivers, NODES), weights.requires_grad_(), values.requires_grad_())


def dense(edges: list[tuple[int, int]], weights: Tensor, values: Tensor) -> Tensor:
    """The sums with a matrix (n, n), to which every edge is added by itself."""
    matrix = torch.zeros(NODES, NODES, dtype=weights.dtype)
    for edge, (sender, receiver) in enumerate(edges):
        at = torch.zeros_like(matrix)
        at[receiver, sender] = 1
        matrix = matrix + weights[edge] * at
    return matrix @ values


@pytest.mark.parametrize("edges", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-14), (torch.float32, 1e-5)])
def test_sums_and_gradients_are_those_of_a_dense_matrix(
    edges: list[tuple[int, int]], dtype: torch.dtype, bound: float
):
    messages, weights, values = graph(edges, dtype)
    result, expected = messages.sum(weights, values), dense(edges, weights, values)
    assert result.dtype == dtype
    torch.testing.assert_close(result, expected, rtol=bound, atol=bound)
    direction = torch.linspace(-1, 1, result.numel(), dtype=dtype).reshape(result.shape)
    gradients = torch.autograd.grad(result, (weights, values), direction)
    if edges:
        others = torch.autograd.grad(expected, (weights, values), direction)
        torch.testing.assert_close(gradients, others, rtol=bound, atol=bound)
    else:
        assert [gradient.abs().sum() for gradient in gradients] == [0, 0]


@pytest.mark.parametrize("edges", EDGES.values(), ids=EDGES)
def test_derivatives_of_first_and_second_order_are_finite_differences(edges: list[tuple[int, int]]):
    messages, weights, values = graph(edges, torch.float64)
    assert gradcheck(messages.sum, (weights, values))
    assert gradgradcheck(messages.sum, (weights, values))


def test_nodes_that_receive_nothing_have_sum_0():
    messages, weights, values = graph(EDGES["isolated"], torch.float64)
    assert messages.sum(weights, values)[1:4].eq(0).all()


@pytest.mark.parametrize("wanted", [0, 1])
def test_one_of_both_can_be_constant(wanted: int):
    messages, *both = graph(EDGES["random"], torch.float64)
    total = messages.sum(*(x if i == wanted else x.detach() for i, x in enumerate(both))).sum()
    expected = dense(EDGES["random"], *both).sum()
    (result,) = torch.autograd.grad(total, both[wanted])
    torch.testing.assert_close(result, torch.autograd.grad(expected, both[wanted])[0])


def test_reversed_messages_are_the_transpose():
    messages, weights, values = graph(EDGES["random"], torch.float64)
    matrix, transpose = messages.matrix(weights), messages.reversed.matrix(weights)
    assert torch.equal(matrix.to_dense().T, transpose.to_dense())
    backward = [(receiver, sender) for sender, receiver in EDGES["random"]]
    torch.testing.assert_close(
        messages.reversed.sum(weights, values), dense(backward, weights, values)
    )
