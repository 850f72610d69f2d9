"""The errors that lapbench tells apart."""


class LapbenchError(ValueError):
    """Something was asked for that cannot be done; the message says what, and the remedy."""


class NotApplicableError(Exception):
    """A method, term or attack does not apply, which is a result; the message says why."""
