"""The folders install as one package, and know only whom they may know."""

import ast
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "bench": "lapbench",
    "methods": "lapbench.methods",
    "datasets": "lapbench.datasets",
    "reports": "lapbench.reports",
}
MAY_KNOW = {
    "bench": {"bench", "methods", "datasets", "reports"},
    "methods": {"methods", "datasets"},
    "datasets": {"datasets"},
    "reports": {"reports"},
}


def sources(folder: str) -> Iterator[Path]:
    """All Python files of a top-level folder."""
    return (ROOT / folder).rglob("*.py")


def package_of(path: Path) -> str:
    """Name under which a folder is installed."""
    first, *rest = path.relative_to(ROOT).parts
    return ".".join([FOLDERS[first], *rest])


def folder_of(module: str) -> str:
    """Top-level folder that a module of lapbench comes from."""
    second = module.split(".")[1] if "." in module else ""
    return second if second in MAY_KNOW else "bench"


def imports(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, relative imports marked by a dot."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def test_every_folder_is_in_the_packages_of_pyproject():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    found = {}
    for folder in FOLDERS:
        for path in sources(folder):
            found[package_of(path.parent)] = str(path.parent.relative_to(ROOT).as_posix())
    assert set(tools["setuptools"]["packages"]) == set(found)
    assert tools["setuptools"]["package-dir"] == found


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_are_absolute_and_in_the_allowed_direction(folder: str):
    for path in sources(folder):
        for name in imports(path):
            assert not name.startswith("."), f"{path}: relative import"
            assert name.split(".")[0] not in FOLDERS, f"{path}: write lapbench.{name}"
            if name.split(".")[0] == "lapbench":
                assert folder_of(name) in MAY_KNOW[folder], f"{path} may not know {name}"


def test_graph_numerics_know_nothing_above_them():
    for path in sources("methods/graph"):
        known = {name for name in imports(path) if name.startswith("lapbench")}
        assert all(name.startswith("lapbench.methods.graph") for name in known), path


def test_public_files_of_methods_define_one_public_component():
    """By their text: the class that `lapbench list` describes."""
    bases = {
        "methods": {"Head", "Term"},
        "methods/backbones": {"Backbone"},
        "datasets": {"Dataset"},
    }
    for folder, names in bases.items():
        for path in (ROOT / folder).glob("[!_]*.py"):
            classes = [
                node.name
                for node in ast.parse(path.read_text(encoding="utf-8")).body
                if isinstance(node, ast.ClassDef)
                and any(isinstance(b, ast.Name) and b.id in names for b in node.bases)
            ]
            assert len(classes) == 1, path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of the built wheel."""
    source = tmp_path_factory.mktemp("source")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "dist").glob("*.whl")
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def test_wheel_puts_only_lapbench_into_site_packages(site: Path):
    top = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"lapbench"}
    package = site / "lapbench"
    installed = {path.relative_to(package).as_posix() for path in package.rglob("*.*")}
    named = {"py.typed", "suites/default.toml", "reports/published.toml", "methods/graph/knn.py"}
    assert named <= installed
    assert {"reports/templates/page.html.jinja", "reports/templates/style.css"} <= installed


def test_hugging_face_datasets_stays_importable(site: Path, tmp_path: Path):
    """A stand-in of that name, installed beside lapbench, is what `import datasets` finds."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("HUGGING_FACE = True")
    code = (
        "import lapbench.datasets.digits, datasets; assert datasets.HUGGING_FACE;"
        "assert lapbench.datasets.digits.__name__ == 'lapbench.datasets.digits'"
    )
    python(code, site, tmp_path)


def test_no_module_is_imported_under_two_names(site: Path, tmp_path: Path):
    code = """
import pathlib, pkgutil, sys, lapbench
for module in pkgutil.walk_packages(lapbench.__path__, "lapbench."):
    __import__(module.name)
files = {}
for name, module in list(sys.modules.items()):
    file = getattr(module, "__file__", None)
    if file and file.startswith(str(pathlib.Path(lapbench.__file__).parent)):
        assert files.setdefault(file, name) == name, (file, name)
        assert name.startswith("lapbench"), name
assert len(files) > 30, len(files)
assert not {"bench", "methods", "datasets", "reports"} & set(sys.modules)
"""
    python(code, site, tmp_path)


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["run", "--help"]])
def test_help_and_list_import_nothing_heavy(site: Path, tmp_path: Path, arguments: list[str]):
    code = f"""
import sys
from lapbench.cli import main
main({arguments!r}, standalone_mode=False)
heavy = {{"torch", "pandas", "scipy", "sklearn", "matplotlib", "seaborn", "pydantic", "numpy"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    python(code, site, tmp_path)


def python(code: str, site: Path, folder: Path) -> None:
    """Run code with lapbench from the wheel, in a folder outside the repository."""
    environment = {"PYTHONPATH": f"{site}:{folder}", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
