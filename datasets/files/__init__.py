"""The files of data sets: where they are, their download, their checks and their formats.

It knows ``base``, and no single data set.
"""
