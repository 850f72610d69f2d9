"""Intervals, paired tests and ranks.

It knows tidy frames, and nobody else in ``reports``.
"""
