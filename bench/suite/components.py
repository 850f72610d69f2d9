"""Data sets, backbones, methods and attacks by name, with all their options."""

import json
from typing import Any

from pydantic import Field, TypeAdapter

from lapbench import discovery
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.method import Head, Term


def parse(kind: Any, content: Any) -> Any:
    """An object of a validated dataclass from tables, lists and numbers.

    Raises:
        pydantic.ValidationError: listing every mistake.

    """
    return TypeAdapter(kind).validate_json(json.dumps(content, default=str))


@validated
class Component:
    """A data set, backbone or method by name, with all its parameters."""

    name: str
    parameters: dict[str, Any]

    def create(self, kind: str) -> Any:
        """The object that the name and parameters describe."""
        return parse(discovery.load(kind, self.name), self.parameters)


@validated
class Method:
    """One head and any number of terms, sorted by name."""

    head: Component
    terms: list[Component] = Field(default_factory=list)

    @property
    def name(self) -> str:
        """``head + term + …``; a term alone stands for softmax with it."""
        parts = [part.name for part in (self.head, *self.terms)]
        return " + ".join(parts[1:] if self.terms and parts[0] == "softmax" else parts)

    def create_head(self) -> Head:
        """The head's hyper-parameters."""
        head: Head = self.head.create("methods")
        return head

    def create_terms(self) -> list[Term]:
        """The terms' hyper-parameters."""
        return [term.create("methods") for term in self.terms]


def complete(name: str, created: Any) -> Component:
    """The component of an object, with all its options."""
    return Component(name, TypeAdapter(type(created)).dump_python(created, mode="json"))
