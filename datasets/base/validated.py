"""Validated dataclasses: how the options of every component are declared."""

from collections.abc import Callable
from dataclasses import field
from typing import Any, TypeVar, dataclass_transform, overload

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid", strict=True)

T = TypeVar("T")


@overload
def validated(cls: type[T], /) -> type[T]: ...
@overload
def validated(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(Field, field))
def validated(cls: Any = None, /, *, kw_only: bool = False) -> Any:
    """Make a class a frozen dataclass whose fields are checked when an object is made.

    Unknown fields are refused, and types are not converted: ``"3"`` is not an integer.
    """
    return dataclass(cls, frozen=True, kw_only=kw_only, config=STRICT)
