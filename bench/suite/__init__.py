"""From a TOML file to a plan of cells, every mistake named.

A cell says completely what is trained, evaluated and attacked. Nothing is trained here.
"""
