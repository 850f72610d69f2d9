"""The folders install as one package, which shadows nobody's and is quick to ask."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from make_import_graph import FOLDERS, ROOT


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
    templates = {path.name for path in (package / "reports" / "page" / "templates").iterdir()}
    assert {"page.html.jinja", "style.css"} <= templates


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
from lapbench.cli.main import main
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
