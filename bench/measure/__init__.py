"""Measurements of a training besides its metrics: time, memory, gradient error, snapshots.

Works on a cell and its model, and trains copies of them; stores nothing.
"""
