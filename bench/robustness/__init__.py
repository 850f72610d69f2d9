"""Attacks on a trained model: candidates predicted again, the worst case, hidden gradients.

It knows which capabilities models and attacks have, never their classes; not where results go.
"""
