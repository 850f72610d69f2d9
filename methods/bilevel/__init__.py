"""Bilevel graph learning: edge weights so that a classifier fitted on V_tr predicts V_out.

``options`` are the hyper-parameters, ``head`` joins them with a model: of nodes whose labels spread
by eq. 1, of nodes and a network (eq. 2), or of samples. Inner problems, unrolling, the implicit
gradient, learned graphs and diagnostics know neither options nor model.
"""

from lapbench.methods.bilevel.head import Bilevel

__all__ = ["Bilevel"]
