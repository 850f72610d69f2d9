"""Figures: one a file, each a function ``draw`` from results to a figure, or None without data."""
