"""Exact verification of small ReLU networks: affine layers, bounds, an integer program."""
