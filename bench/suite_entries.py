"""The entries of a suite, checked one by one."""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from lapbench import discovery
from lapbench.cells import Component, Method, parse
from lapbench.methods._protocol import Budget, Head


@dataclass(frozen=True)
class Entry:
    """A data set with its backbone, and how many training samples keep their class (None: all)."""

    dataset: Component
    backbone: Component
    labeled: int | None


def task_entry(entry: Any, place: str, mistakes: list[str]) -> Entry | None:
    """Return a checked entry of ``tasks``, or None after adding its mistakes."""
    if not isinstance(entry, dict):
        mistakes.append(f"{place}: received {entry!r}; accepted is a table of dataset and backbone")
        return None
    table = dict(entry)
    dataset = _component(
        "datasets", table.pop("dataset", None), table, f"{place}.dataset", mistakes
    )
    name = table.pop("backbone", None)
    backbone = _component("backbones", name, table, f"{place}.backbone", mistakes)
    labeled = table.pop("labeled", None)
    if labeled is not None and (type(labeled) is not int or labeled < 1):
        mistakes.append(f"{place}.labeled: received {labeled!r}; accepted is an integer >= 1")
    _refuse_rest(
        table, place, "dataset, backbone, labeled, and a table of options for each", mistakes
    )
    return Entry(dataset, backbone, labeled) if dataset and backbone else None


def method_entry(
    entry: Any, place: str, mistakes: list[str]
) -> tuple[Method, dict[str, Any]] | None:
    """Return a method, and how its budget differs from the suite's; or None after mistakes."""
    if not isinstance(entry, dict | str):
        mistakes.append(f"{place}: received {entry!r}; accepted are a name and a table with a name")
        return None
    table = dict(entry) if isinstance(entry, dict) else {"name": entry}
    name = table.pop("name", None)
    parts = name.split("+") if isinstance(name, str) else [name]
    names = [part.strip() if isinstance(part, str) else part for part in parts]
    components = [_component("methods", part, table, f"{place}.name", mistakes) for part in names]
    changes = {"learning_rate": table.pop("learning_rate")} if "learning_rate" in table else {}
    _refuse_rest(
        table, place, "name, learning_rate, and a table of options for each part", mistakes
    )
    valid = check(Budget, {"epochs": 1, **changes}, f"{place}.", mistakes)
    found = [component for component in components if component]
    if len(found) < len(components) or valid is None:
        return None
    method = _compose(found, f"{place}.name", mistakes)
    return (method, changes) if method else None


def _compose(components: list[Component], place: str, mistakes: list[str]) -> Method | None:
    """Return the method of a head and terms; without a head that is softmax."""
    heads = [c for c in components if issubclass(discovery.load("methods", c.name), Head)]
    terms = sorted((c for c in components if c not in heads), key=lambda term: term.name)
    if len(heads) > 1:
        names = ", ".join(head.name for head in heads)
        mistakes.append(f"{place}: received {len(heads)} heads ({names}); accepted is one")
        return None
    repeated = {term.name for term in terms if sum(term.name == t.name for t in terms) > 1}
    if repeated:
        mistakes.append(f"{place}: {', '.join(repeated)} stands twice; leave one of them out")
        return None
    softmax = Component("softmax", {})
    return Method(heads[0] if heads else softmax, terms)


def _component(
    kind: str, name: Any, table: dict[str, Any], place: str, mistakes: list[str]
) -> Component | None:
    """Return a name with its options, which are taken out of a table."""
    if not isinstance(name, str):
        known = ", ".join(discovery.names(kind))
        mistakes.append(f"{place}: received {name!r}; accepted are: {known}")
        return None
    if not name:
        mistakes.append(f"{place}: a part is missing beside +; accepted is head + term + …")
        return None
    try:
        kind_class = discovery.load(kind, name)
    except discovery.UnknownNameError as error:
        mistakes.append(f"{place}: {error}")
        table.pop(name, None)
        return None
    prefix = f"{place.rpartition('.')[0]}.{name}."
    options = check(kind_class, table.pop(name, {}), prefix, mistakes)
    if options is None:
        return None
    return Component(name, TypeAdapter(kind_class).dump_python(options, mode="json"))


def _refuse_rest(table: dict[str, Any], place: str, accepted: str, mistakes: list[str]) -> None:
    mistakes += [f"{place}.{field}: unknown field; accepted are {accepted}" for field in table]


def check(kind: Any, content: Any, prefix: str, mistakes: list[str]) -> Any:
    """Return the checked object, or None after adding its mistakes, one for each place."""
    try:
        return parse(kind, content)
    except ValidationError as error:
        found: dict[str, str] = {}
        for detail in error.errors():
            unknown = detail["type"] in {"unexpected_keyword_argument", "extra_forbidden"}
            steps = [step for step in detail["loc"] if unknown or not _is_alternative(step)]
            place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
            place = f"{prefix}{place.removeprefix('.')}".removesuffix(".")
            if unknown:
                found[place] = _accepted_fields(kind, steps[:-1])
            elif detail["type"] in {"missing", "missing_argument"}:
                found[place] = "missing; this field is required"
            elif place in found:
                found[place] += detail["msg"].replace("Input should", " or")
            else:
                message = detail["msg"].replace("Input should", "it should")
                message = message.removeprefix("Value error, ")
                found[place] = f"received {detail['input']!r}; {message}"
        mistakes += [f"{place}: {message}" for place, message in found.items()]
        return None


def _is_alternative(step: int | str) -> bool:
    """Tell the alternatives of a union, which pydantic adds to a place, from its fields."""
    return isinstance(step, str) and (not step.isidentifier() or step in {"int", "float", "str"})


def _accepted_fields(kind: Any, steps: list[int | str]) -> str:
    for step in steps:
        kind = next(field.type for field in fields(kind) if field.name == step)
        kind = next((option for option in get_args(kind) if is_dataclass(option)), kind)
    return (
        f"unknown field; accepted are {', '.join(field.name for field in fields(kind)) or 'none'}"
    )
