"""Exact verification of small ReLU networks: affine layers, bounds, an integer program.

It knows layers and inputs; the one model that it asks is for its layers.
"""
