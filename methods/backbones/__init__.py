"""Backbones: one feature extractor a file."""
