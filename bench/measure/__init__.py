"""What is measured of a training beside its metrics: time, memory, gradient error, snapshots.

It knows a cell and its model, and trains copies of them; not where results go.
"""
