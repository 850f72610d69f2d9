"""What methods and backbones are made of: heads, terms, models, their capabilities, and helpers.

It knows tasks and the graph numerics, and no single method.
"""
