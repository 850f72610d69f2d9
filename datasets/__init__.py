"""Data sets: one file each, which gives a task; ``base`` and ``files`` are what they share."""
