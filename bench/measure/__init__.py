"""What is measured of a training beside its metrics: time, memory, gradient error, snapshots."""
