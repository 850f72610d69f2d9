"""The entries of a suite, checked one by one."""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal, get_args

from pydantic import ValidationError

from lapbench import discovery
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.method import Head
from lapbench.methods.softmax import Softmax
from lapbench.suite.components import Component, Method, complete, parse


@dataclass(frozen=True)
class TaskEntry:
    """A data set with its backbone, and the settings of training on it.

    Attributes:
        dataset, backbone: by name.
        labeled: how many training samples keep their class; None for all.
        budget: fields in which its budget differs from the suite's.
        label: name in tables; by default that of the data set, with the options that differ.

    """

    dataset: Component
    backbone: Component
    labeled: int | None
    budget: dict[str, Any]
    label: str


@dataclass(frozen=True)
class MethodEntry:
    """A method, and how its cells differ from those of the others.

    Attributes:
        method: head and terms.
        budget: fields in which its budget differs from the task's.
        train: ``"inner"`` hides the classes of V_out.
        label: name of the row; by default it is made of the parts and their options.

    """

    method: Method
    budget: dict[str, Any]
    train: Literal["all", "inner"]
    label: str


def task_entry(entry: Any, place: str, mistakes: list[str]) -> TaskEntry | None:
    """A checked entry of ``tasks``, or None after adding its mistakes."""
    if not isinstance(entry, dict):
        mistakes.append(f"{place}: received {entry!r}; must be a table of dataset and backbone")
        return None
    table = dict(entry)
    dataset = _component(
        "datasets", table.pop("dataset", None), table, f"{place}.dataset", mistakes
    )
    name = table.pop("backbone", None)
    backbone = _component("backbones", name, table, f"{place}.backbone", mistakes)
    labeled = table.pop("labeled", None)
    if labeled is not None and (type(labeled) is not int or labeled < 1):
        mistakes.append(f"{place}.labeled: received {labeled!r}; must be an integer >= 1")
    budget = table.pop("budget", {})
    valid = check(
        Budget,
        {"epochs": 1} | budget if isinstance(budget, dict) else budget,
        f"{place}.budget.",
        mistakes,
    )
    label = table.pop("label", "")
    if not isinstance(label, str):
        mistakes.append(f"{place}.label: received {label!r}; must be a text")
    accepted = "dataset, backbone, label, labeled, budget, and a table of options for each"
    _refuse_rest(table, place, accepted, mistakes)
    if dataset is None or backbone is None or valid is None:
        return None
    return TaskEntry(dataset, backbone, labeled, budget, label)


def method_entry(entry: Any, place: str, mistakes: list[str]) -> MethodEntry | None:
    """A checked entry of ``methods``, or None after adding its mistakes."""
    if not isinstance(entry, dict | str):
        mistakes.append(f"{place}: received {entry!r}; must be a name, or a table with a name")
        return None
    table = dict(entry) if isinstance(entry, dict) else {"name": entry}
    name = table.pop("name", None)
    parts = name.split("+") if isinstance(name, str) else [name]
    names = [part.strip() if isinstance(part, str) else part for part in parts]
    components = [_component("methods", part, table, f"{place}.name", mistakes) for part in names]
    changes = {"learning_rate": table.pop("learning_rate")} if "learning_rate" in table else {}
    about = {field: table.pop(field) for field in ("train", "label") if field in table}
    accepted = "name, label, learning_rate, train, grid, and a table of options for each part"
    _refuse_rest(table, place, accepted, mistakes)
    valid = check(Budget, {"epochs": 1, **changes}, f"{place}.", mistakes)
    rest = check(_About, about, f"{place}.", mistakes)
    known = [component for component in components if component]
    if len(known) < len(components) or valid is None or rest is None:
        return None
    method = _compose(known, f"{place}.name", mistakes)
    return MethodEntry(method, changes, rest.train, rest.label) if method else None


def scaled_method(method: Method, share: float) -> Method:
    """A method whose head has a share of the training data to choose from."""
    head = complete(method.head.name, method.create_head().scaled(share))
    return replace(method, head=head)


@validated
class _About:
    """The fields of a method that belong neither to its parts nor to its budget."""

    train: Literal["all", "inner"] = "all"
    label: str = ""


def _compose(components: list[Component], place: str, mistakes: list[str]) -> Method | None:
    """The method of a head and terms; softmax is the head if there is none."""
    heads = [c for c in components if issubclass(discovery.load("methods", c.name), Head)]
    terms = sorted((c for c in components if c not in heads), key=lambda term: term.name)
    if len(heads) > 1:
        names = ", ".join(head.name for head in heads)
        mistakes.append(f"{place}: received {len(heads)} heads ({names}); must be one")
        return None
    repeated = {term.name for term in terms if sum(term.name == t.name for t in terms) > 1}
    if repeated:
        mistakes.append(f"{place}: {', '.join(repeated)} is repeated; remove one of them")
        return None
    return Method(heads[0] if heads else complete("softmax", Softmax()), terms)


def _component(
    kind: str, name: Any, table: dict[str, Any], place: str, mistakes: list[str]
) -> Component | None:
    """A name with its options, which are taken out of a table."""
    if not isinstance(name, str):
        known = ", ".join(discovery.names(kind))
        mistakes.append(f"{place}: received {name!r}; must be one of {known}")
        return None
    if not name:
        mistakes.append(f"{place}: received an empty part beside +; must be head + term + …")
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
    return complete(name, options)


def _refuse_rest(table: dict[str, Any], place: str, accepted: str, mistakes: list[str]) -> None:
    mistakes += [f"{place}.{field}: unknown field; must be one of {accepted}" for field in table]


def check(kind: Any, content: Any, prefix: str, mistakes: list[str]) -> Any:
    """The checked object, or None after adding its mistakes, one for each place."""
    try:
        return parse(kind, content)
    except ValidationError as error:
        places: dict[str, str] = {}
        for detail in error.errors():
            unknown = detail["type"] in {"unexpected_keyword_argument", "extra_forbidden"}
            steps = [step for step in detail["loc"] if unknown or not _is_alternative(step)]
            place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
            place = f"{prefix}{place.removeprefix('.')}".removesuffix(".")
            if unknown:
                places[place] = _accepted_fields(kind, steps[:-1])
            elif detail["type"] in {"missing", "missing_argument"}:
                places[place] = "missing; this field is required"
            elif place in places:
                places[place] += detail["msg"].replace("Input should", " or")
            else:
                message = detail["msg"].replace("Input should", "it should")
                message = message.removeprefix("Value error, ")
                places[place] = f"received {detail['input']!r}; {message}"
        mistakes += [f"{place}: {message}" for place, message in places.items()]
        return None


def _is_alternative(step: int | str) -> bool:
    """Tell the alternatives of a union, which pydantic adds to a place, from its fields."""
    return isinstance(step, str) and (not step.isidentifier() or step in {"int", "float", "str"})


def _accepted_fields(kind: Any, steps: list[int | str]) -> str:
    for step in steps:
        kind = next(field.type for field in fields(kind) if field.name == step)
        kind = next((option for option in get_args(kind) if is_dataclass(option)), kind)
    names = ", ".join(field.name for field in fields(kind))
    return f"unknown field; must be one of {names or '(none)'}"
