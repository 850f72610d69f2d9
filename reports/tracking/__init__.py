"""Numbers of two runs compared, and of many drawn.

It knows tidy frames.
"""
