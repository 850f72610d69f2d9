"""What figures have in common: layout, attacked results, images.

It knows what a figure is drawn from, and no single figure.
"""
