"""The files of data sets: where they are, their download, their checks and their formats."""
