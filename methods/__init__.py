"""Methods: a file each, or a folder with ``options.py``.

``base`` holds what they are made of, ``backbones`` the feature extractors, ``graph`` the numerics.
"""
