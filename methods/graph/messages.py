"""Sums over neighbours as graph networks take them, with a weight for each directed edge."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lapbench.methods.graph.compiled import Floats, Integers, compiled
from lapbench.methods.graph.sparse import compressed_rows


@dataclass(frozen=True, eq=False)
class Messages:
    """Directed edges, along which values travel from senders to receivers.

    Prefer it to gathering a row for every edge: neither sums nor their derivatives of any order
    keep anything as large.

    Attributes:
        senders, receivers: (E,) nodes.
        num_nodes: n.

    """

    senders: Tensor
    receivers: Tensor
    num_nodes: int

    def sum(self, weights: Tensor, values: Tensor) -> Tensor:
        """Σ w_e v_{sender(e)} over the edges into each node, for w (E,) and v (n, d).

        Differentiable in both, any number of times.
        """
        result: Tensor = _Sum.apply(weights, values, self)  # type: ignore[no-untyped-call]
        return result

    @cached_property
    def reversed(self) -> "Messages":
        """The edges from receivers to senders."""
        back = Messages(self.receivers, self.senders, self.num_nodes)
        vars(back)["reversed"] = self
        return back

    @cached_property
    def _rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where each row of the matrix starts, its columns, and the order of the edges."""
        rows, order = self.receivers.sort(stable=True)
        bounds = torch.arange(self.num_nodes + 1, device=rows.device)
        return torch.searchsorted(rows, bounds), self.senders.index_select(0, order), order

    def matrix(self, weights: Tensor) -> Tensor:
        """Sparse matrix (n, n) with w_e in the row of the receiver."""
        starts, columns, order = self._rows
        return compressed_rows(starts, columns, weights.detach().index_select(0, order))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, messages: Messages) -> Tensor:
        ctx.save_for_backward(weights, values)
        ctx.messages = messages
        result: Tensor = messages.matrix(weights) @ values
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        weights, values = ctx.saved_tensors
        for_weights, for_values = None, None
        if ctx.needs_input_grad[0]:
            for_weights = _Products.apply(gradient, values, ctx.messages)  # type: ignore[no-untyped-call]
        if ctx.needs_input_grad[1]:
            for_values = ctx.messages.reversed.sum(weights, gradient)
        return for_weights, for_values, None


class _Products(torch.autograd.Function):
    """u_{receiver(e)} · v_{sender(e)} (E,) for u and v (n, d)."""

    @staticmethod
    def forward(ctx: Any, received: Tensor, sent: Tensor, messages: Messages) -> Tensor:
        ctx.save_for_backward(received, sent)
        ctx.messages = messages
        if received.is_cuda:
            ends = received.index_select(0, messages.receivers)
            return (ends * sent.index_select(0, messages.senders)).sum(dim=1)
        products = received.new_empty(len(messages.senders))
        _products(
            received.detach().contiguous().numpy(),
            sent.detach().contiguous().numpy(),
            messages.receivers.numpy(),
            messages.senders.numpy(),
            products.numpy(),
        )
        return products

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        received, sent = ctx.saved_tensors
        for_received, for_sent = None, None
        if ctx.needs_input_grad[0]:
            for_received = ctx.messages.sum(gradient, sent)
        if ctx.needs_input_grad[1]:
            for_sent = ctx.messages.reversed.sum(gradient, received)
        return for_received, for_sent, None


@compiled("reassoc", "contract")
def _products(
    received: Floats, sent: Floats, receivers: Integers, senders: Integers, products: Floats
) -> None:
    for e in range(len(products)):
        i, j = receivers[e], senders[e]
        total = products.dtype.type(0)
        for c in range(received.shape[1]):
            total += received[i, c] * sent[j, c]
        products[e] = total
