"""The base of all errors that are the user's to mend."""


class LapbenchError(ValueError):
    """Something was asked for that cannot be done; the message says what, and the remedy."""
