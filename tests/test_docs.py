"""The documentation's programs run."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import lapbench

ROOT = Path(__file__).parents[1]


@pytest.mark.filterwarnings("error")
def test_guide_runs_from_top_to_bottom():
    torch.manual_seed(0)
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "graph-layer.md").read_text(), re.S
    )
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/graph-layer.md", "exec"), names)
    assert names["predicted"].shape == (200,)  # type: ignore[attr-defined]
    for tensor in ("points", "leak"):
        assert names[tensor].grad.norm() > 0  # type: ignore[attr-defined]


def test_layer_in_ones_own_network_takes_fifteen_lines():
    (first, *_) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "graph-layer.md").read_text(), re.S
    )
    assert len([line for line in first.splitlines() if line.strip()]) <= 15


def test_guide_to_reports_runs(tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("default", "monday"):
        lapbench.run(tiny_suite, results=f"results/{name}", seeds=1)
    shutil.copytree("results/monday", "results/tuesday")
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "reports.md").read_text(), re.S)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/reports.md", "exec"), names)
    assert names["table"].shape == (2, 1)
    assert names["report"].files[0].name == "index.html"


def test_numbers_of_the_readme_are_those_of_its_records():
    """And the records can be read, so that its picture can be made again."""
    frame = lapbench.load_records(ROOT / "reports" / "records" / "default")
    assert set(frame["status"]) == {"ok"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    digits = frame.query("task == 'digits' and metric == 'accuracy' and attack == ''")
    means = digits.groupby("method")["value"].mean()
    assert means.idxmax() == "gll"
    for method in ("gll", "softmax"):
        assert f"{100 * means[method]:.1f} %" in readme


def test_table_of_the_papers_at_a_scale_is_that_of_its_records():
    """Every number of the table in docs/papers.md, from the committed records."""
    frame = lapbench.load_records(ROOT / "reports" / "records" / "gll-table4-mnist-scale-0.06")
    assert (frame["status"] == "ok").all()
    assert set(frame["task"]) == {"mnist at scale 0.06"}
    last = frame.sort_values("steps").groupby(["training", "method", "metric", "attack", "level"])
    result = last["value"].last()
    columns = [
        ("accuracy", "", 0.0),
        ("robust_accuracy", "fgsm", 0.3),
        ("robust_accuracy", "ifgsm", 0.3),
        ("robust_accuracy", "cw-gll", 20.0),
        ("robust_accuracy", "worst case", 0.3),
        ("robust_accuracy", "fgsm, in [0, 1]", 0.3),
    ]
    text = (ROOT / "docs" / "papers.md").read_text()
    lines = re.findall(r"^\| (natural|PGD) \| `(\w+)` \| (.*) \|$", text, re.M)
    assert len(lines) == 6
    for training, method, cells in lines:
        numbers = [float(cell.split()[0]) for cell in cells.split(" | ")]
        expected = [100 * result[training.lower(), method, *column] for column in columns]
        assert numbers == pytest.approx(expected, abs=0.051)
