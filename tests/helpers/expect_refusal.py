"""What a user's mistake must be answered with, by type, field and value and in no fixed words."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def refused(kind: type[Exception], *named: object) -> Iterator["pytest.ExceptionInfo[Exception]"]:
    """Expect an error of exactly this kind that names each of these: texts as they stand, the
    rest by ``repr``.
    """
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.type is kind
    for what in named:
        assert (what if isinstance(what, str) else repr(what)) in str(caught.value)
