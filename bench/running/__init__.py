"""Running a suite: one cell step by step, and how cells spread over processes and machines.

It knows all rooms below; a cell leaves nothing but files of ``results``.
"""
