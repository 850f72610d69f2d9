"""What every data set gives: a task with its splits, and options that are checked.

It knows nobody.
"""
