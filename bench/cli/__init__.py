"""The commands, and what they print.

It knows all; nobody knows it. Heavy imports wait until a command needs them.
"""
