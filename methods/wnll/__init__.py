"""Weighted nonlocal Laplacian: interpolates labels, trained through a linear surrogate.

``options`` are the hyper-parameters, ``model`` trains in two stages and predicts, ``metrics`` are
its own numbers, ``head`` joins options and model. The graph equation is
:class:`lapbench.methods.graph.WNLL`.
"""

from lapbench.methods.wnll.head import WNLLActivation

__all__ = ["WNLLActivation"]
