"""Results beside those of a baseline, and of past commits."""
