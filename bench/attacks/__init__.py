"""Attacks and perturbations: what a trained model is tested with, one file each.

``base`` holds what they are made of, ``verifier`` the proof of small networks.
"""
