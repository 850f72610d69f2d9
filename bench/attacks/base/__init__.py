"""What attacks are made of: their base classes, the target, its ball, losses, steps and noise.

An attack knows a trained model, its task and random streams; not suites, metrics or records.
"""
