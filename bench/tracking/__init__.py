"""Results beside those of a baseline, and of past commits.

It knows records as tidy frames; nothing is trained here.
"""
