"""The house: who may know whom, and that every door is public."""

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import networkx as nx
import pytest
from make_import_graph import FOLDERS, ROOT, circles, imports, make_graph, make_modules, room_of

FLOORS = [
    "lapbench.errors",
    "lapbench.seeds",
    "lapbench.datasets.base",
    "lapbench.datasets.files",
    "lapbench.datasets",
    "lapbench.methods.graph",
    "lapbench.methods.base",
    "lapbench.methods.backbones",
    "lapbench.methods",
    "lapbench.methods.gll",
    "lapbench.methods.wnll",
    "lapbench.methods.bilevel",
    "lapbench.attacks.base",
    "lapbench.attacks.verifier",
    "lapbench.attacks",
    "lapbench.discovery",
    "lapbench.plugin",
    "lapbench.training",
    "lapbench.suites",
    "lapbench.suite",
    "lapbench.robustness",
    "lapbench.measure",
    "lapbench.results",
    "lapbench.reports.statistics",
    "lapbench.reports",
    "lapbench.reports.figures.base",
    "lapbench.reports.figures",
    "lapbench.reports.page",
    "lapbench.reports.tracking",
    "lapbench.reporting",
    "lapbench.tracking",
    "lapbench.running",
    "lapbench.cli",
    "lapbench",
]
"""The rooms from the ground up: each may import those before it, and nobody after it."""

KNOW_ONLY = {
    "lapbench.methods.graph": ("lapbench.methods.graph",),
    "lapbench.methods": ("lapbench.methods", "lapbench.datasets"),
    "lapbench.datasets": ("lapbench.datasets",),
    "lapbench.reports": ("lapbench.reports",),
}
"""Packages that know no others, however low these stand."""

MODULES = make_modules()
GRAPH = make_graph(MODULES)


def rooms() -> nx.DiGraph:
    """An arrow from each room to each that it imports from."""
    between = ((room_of(a, MODULES), room_of(b, MODULES)) for a, b in GRAPH.edges)
    return nx.DiGraph((one, other) for one, other in between if one != other)


def within(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def test_every_room_stands_on_a_floor():
    assert {room_of(module, MODULES) for module in MODULES} == set(FLOORS)


def test_no_import_leads_up():
    floor = {room: number for number, room in enumerate(FLOORS)}
    assert not [
        f"{one} imports {other}"
        for one, other in GRAPH.edges
        if floor[room_of(one, MODULES)] < floor[room_of(other, MODULES)]
    ]


def test_no_circle_of_files_or_rooms_also_for_types_alone():
    assert circles(GRAPH) == []
    assert circles(rooms()) == []


@pytest.mark.parametrize("package", KNOW_ONLY)
def test_package_knows_only_what_it_may(package: str):
    assert not [
        f"{one} imports {other}"
        for one, other in GRAPH.edges
        if within(one, package) and not any(within(other, known) for known in KNOW_ONLY[package])
    ]


def private(package: str, name: str) -> str:
    """The package that a private module or name belongs to, "" if all is public."""
    parts = [*package.split("."), *([name] if name else [])]
    hidden = [part.startswith("_") and not part.startswith("__") for part in parts]
    return ".".join(parts[: hidden.index(True)]) if any(hidden) else ""


def test_no_import_goes_through_a_private_door():
    """A module or name with an underscore is for the files of its own package."""
    wrong = [
        f"{module} imports {package}.{name}"
        for module, path in MODULES.items()
        for package, name in imports(path)
        if package.startswith("lapbench")
        and (owner := private(package, name))
        and owner not in (module, room_of(module, MODULES))
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", ["tests", "docs"])
def test_tests_and_docs_import_no_private_module(folder: str):
    texts = [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.md"), ROOT / "README.md"]
    door = re.compile(r"^ *(?:from|import) (lapbench[\w.]*\._\w+)", re.MULTILINE)
    wrong = {path.name: door.findall(path.read_text(encoding="utf-8")) for path in texts}
    assert not {name: result for name, result in wrong.items() if result}


def test_imports_are_absolute():
    for path in MODULES.values():
        for package, _ in imports(path):
            assert not package.startswith("."), f"{path}: relative import"
            assert package.split(".")[0] not in FOLDERS, f"{path}: write lapbench.{package}"


def test_no_two_public_classes_share_a_name():
    names = Counter(
        node.name
        for path in MODULES.values()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in names.items() if count > 1} == set()


def test_rooms_of_the_harness_hold_sixteen_files_at_most():
    crowded = Counter(path.parent for path in MODULES.values() if within_bench(path))
    assert max(crowded.values()) <= 16, crowded


def within_bench(path: Path) -> bool:
    return path.is_relative_to(ROOT / "bench")


def test_options_of_a_method_know_no_model():
    """Whatever they import, and what that imports, defines no model."""
    options = [name for name in MODULES if name.endswith(".options")]
    assert len(options) == 3
    for module in options:
        for name in nx.descendants(GRAPH, module):
            text = MODULES[name].read_text(encoding="utf-8")
            assert not re.search(r"^class \w+\((?!nn)\w*Model\b", text, re.MULTILINE), (
                module,
                name,
            )


def test_guide_lists_the_rooms_of_the_harness_in_their_order():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)(?:/|\.py)` ", text, re.MULTILINE)
    harness = [name.removeprefix("lapbench.") for name in FLOORS if name.count(".") == 1]
    expected = [n for n in harness if n not in ("methods", "datasets", "reports", "suites")]
    assert [name for name in listed if name in expected] == expected


def test_every_folder_is_in_the_packages_of_pyproject():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    result = {}
    for path in MODULES.values():
        first, *rest = path.parent.relative_to(ROOT).parts
        result[".".join([FOLDERS[first], *rest])] = path.parent.relative_to(ROOT).as_posix()
    assert set(tools["setuptools"]["packages"]) == set(result)
    assert tools["setuptools"]["package-dir"] == result


def test_public_files_of_methods_define_one_public_component():
    """By their text: the class that `lapbench list` describes."""
    bases = {
        "methods": {"Head", "Term"},
        "methods/backbones": {"Backbone"},
        "datasets": {"Dataset"},
    }
    for folder, names in bases.items():
        heads = (ROOT / folder).glob("*/head.py")
        for path in [*(ROOT / folder).glob("[!_]*.py"), *heads]:
            classes = [
                node.name
                for node in ast.parse(path.read_text(encoding="utf-8")).body
                if isinstance(node, ast.ClassDef)
                and any(isinstance(b, ast.Name) and b.id in names for b in node.bases)
            ]
            assert len(classes) == 1, path
