"""Intervals, paired tests and ranks."""
