"""Who imports whom in lapbench, read from the text of its files."""

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "bench": "lapbench",
    "methods": "lapbench.methods",
    "datasets": "lapbench.datasets",
    "reports": "lapbench.reports",
}


def make_modules(root: Path = ROOT) -> dict[str, Path]:
    """All modules by their full names."""
    result = {}
    for folder, package in FOLDERS.items():
        for path in (root / folder).rglob("*.py"):
            parts = [package, *path.relative_to(root / folder).with_suffix("").parts]
            result[".".join(parts).removesuffix(".__init__")] = path
    return result


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """All that a file imports, wherever in it: the module, marked by dots, and a name of it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (
                ("." * node.level + (node.module or ""), alias.name) for alias in node.names
            )


def make_graph(modules: dict[str, Path]) -> nx.DiGraph:
    """An arrow from each module of lapbench to each that it imports, for types alone too."""
    graph = nx.DiGraph()
    graph.add_nodes_from(modules)
    for module, path in modules.items():
        for package, name in imports(path):
            full = f"{package}.{name}"
            target = full if full in modules else package
            if target in modules and target != module:
                graph.add_edge(module, target)
    return graph


def room_of(module: str, modules: dict[str, Path]) -> str:
    """The package of a module; the modules of lapbench itself are rooms of their own."""
    parent = module if modules[module].name == "__init__.py" else module.rpartition(".")[0]
    return module if parent == "lapbench" else parent


def circles(graph: nx.DiGraph) -> list[list[str]]:
    """The sets of nodes from each of which arrows lead to all others of it."""
    return [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]
