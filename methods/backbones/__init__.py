"""Backbones: one feature extractor a file.

They know tasks, not heads.
"""
