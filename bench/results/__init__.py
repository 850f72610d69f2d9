"""What is stored: plans, records, weights, checkpoints, claims; read as tidy frames, and merged.

Nothing is computed here but what a results folder shares: pretrained backbones.
"""
