"""Finding methods, backbones, data sets, attacks, figures and suites: a file is a name.

So is a folder with a file ``options.py``; other folders, and names with an underscore, are helpers.
"""

import ast
import difflib
import importlib
import inspect
import sys
from functools import cache
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from typing import Any

from lapbench.errors import LapbenchError

PACKAGES = {
    "methods": "lapbench.methods",
    "backbones": "lapbench.methods.backbones",
    "datasets": "lapbench.datasets",
    "attacks": "lapbench.attacks",
    "figures": "lapbench.reports.figures",
    "suites": "lapbench.suites",
}
_HYPHENATED = ("attacks", "figures")


class UnknownNameError(LapbenchError):
    """A name that no file and no installed plug-in has; the message lists those that exist."""

    def __init__(self, kind: str, name: str) -> None:
        known = names(kind)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind[:-1]} {name!r}; must be one of {', '.join(known)}{hint}")


def names(kind: str) -> list[str]:
    """All names of a kind, without importing any of them.

    Args:
        kind: "methods", "backbones", "datasets", "attacks", "figures" or "suites".

    Raises:
        LapbenchError: if the kind is another.

    """
    if kind not in PACKAGES:
        raise LapbenchError(f"kind: received {kind!r}; must be one of {', '.join(PACKAGES)}")
    return sorted({*_files(kind), *_plugins(kind)})


def summary(kind: str, name: str) -> str:
    """The first line of what a name stands for, without importing it."""
    files = _files(kind)
    if name not in files:
        return f"plug-in {_plugins(kind)[name].value}"
    text = files[name].read_text(encoding="utf-8")
    if kind == "suites":
        return next((line[1:].strip() for line in text.splitlines() if line.startswith("#")), "")
    module = ast.parse(text)
    if files[name].name == "__init__.py":
        return (ast.get_docstring(module) or "").partition("\n")[0]
    nodes = [] if kind == "figures" else module.body
    classes = (node for node in nodes if isinstance(node, ast.ClassDef))
    described = next((node for node in classes if not node.name.startswith("_")), module)
    return (ast.get_docstring(described) or "").partition("\n")[0]


def needs(kind: str, name: str) -> list[str]:
    """The lines that say which suites a figure is drawn from; none for other kinds."""
    if kind != "figures":
        return []
    text = ast.get_docstring(ast.parse(_files(kind)[name].read_text(encoding="utf-8"))) or ""
    return "".join(text.partition("Needs:")[1:]).splitlines()


def load(kind: str, name: str) -> Any:
    """Import and return the class of a name, or the module of a figure.

    Raises:
        UnknownNameError: if nothing has this name.

    """
    if name in _files(kind):
        module = importlib.import_module(f"{PACKAGES[kind]}.{_module_name(name, kind)}")
        return module if kind == "figures" else _public_class(module, kind)
    if name in _plugins(kind):
        return _plugins(kind)[name].load()
    raise UnknownNameError(kind, name)


def suite_text(name: str) -> str:
    """The TOML text of a suite that comes with lapbench.

    Raises:
        UnknownNameError: if there is none of this name.

    """
    files = _files("suites")
    if name not in files:
        raise UnknownNameError("suites", name)
    return files[name].read_text(encoding="utf-8")


def _files(kind: str) -> dict[str, Traversable]:
    suffix = ".toml" if kind == "suites" else ".py"
    modules = {}
    for file in resources.files(PACKAGES[kind]).iterdir():
        stem = file.name.removesuffix(suffix)
        if stem.startswith("_") or (file.is_file() and stem == file.name):
            continue
        if file.is_dir() and not file.joinpath("options.py").is_file():
            continue
        name = stem.replace("_", "-") if kind in _HYPHENATED else stem
        modules[name] = file / "__init__.py" if file.is_dir() else file
    return modules


def _module_name(name: str, kind: str) -> str:
    return name.replace("-", "_") if kind in _HYPHENATED else name


def _plugins(kind: str) -> dict[str, metadata.EntryPoint]:
    return _plugins_on(tuple(sys.path), kind)


@cache
def _plugins_on(_: tuple[str, ...], kind: str) -> dict[str, metadata.EntryPoint]:
    """The plug-ins of a search path; it takes a while, and each cell asks several times."""
    return {point.name: point for point in metadata.entry_points(group=f"lapbench.{kind}")}


def _public_class(module: Any, kind: str) -> type:
    from lapbench.attacks.base.attack import Attack
    from lapbench.datasets.base.task import Dataset
    from lapbench.methods.base.backbone import Backbone
    from lapbench.methods.base.method import Head, Term

    bases: tuple[type, ...] = {
        "methods": (Head, Term),
        "backbones": (Backbone,),
        "datasets": (Dataset,),
        "attacks": (Attack,),
    }[kind]
    classes = [
        item
        for name, item in vars(module).items()
        if inspect.isclass(item)
        and issubclass(item, bases)
        and f"{item.__module__}.".startswith(f"{module.__name__}.")
        and not name.startswith("_")
    ]
    if len(classes) != 1:
        raise TypeError(
            f"{module.__name__} defines {len(classes)} public subclasses of "
            f"{' or '.join(base.__name__ for base in bases)}; "
            "a file of this folder defines exactly one (start helpers with an underscore)"
        )
    return classes[0]
