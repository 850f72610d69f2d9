"""One training: loop, steps, batches, augmentation, adversarial inputs, SimCLR, metrics, events.

It knows a model, a task, a budget and random streams; not cells, suites or records.
"""
