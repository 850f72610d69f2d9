"""Attacks and perturbations: what a trained model is tested with, one file each."""
