"""Normalised units are said in units of the input, wherever they are used."""

from pathlib import Path

import pytest
from make_suites import suite

import lapbench
from lapbench.results.folder import ResultsFolder

PGD = '[pgd]\nepsilon = 0.2\nstep_size = 0.1\nsteps = 2\nunits = "normalised"\n'
FGSM = """
[robustness]
epsilon = 0.4
units = "normalised"
[[robustness.attacks]]
name = "fgsm"
epsilons = [0.4]
units = "normalised"
"""


@pytest.mark.parametrize(
    ("before", "after", "radii"),
    [
        ('training = "pgd"\n', PGD, (0.1, 0.2)),
        ("", FGSM, (0.4,)),
        ('training = "pgd"\n', PGD + FGSM, (0.1, 0.2, 0.4)),
    ],
)
def test_a_report_says_both_values_of_every_radius_and_step(
    tmp_path: Path, before: str, after: str, radii: tuple[float, ...]
):
    path, results = suite(tmp_path, ["softmax"], before, after), tmp_path / "results"
    report = lapbench.run(path, results=results)
    folder = ResultsFolder(results)
    (record,) = (folder.read_record(key) for key in folder.list_keys())
    deviation = record.cell.load_task().train.x.std(dim=0, correction=0).mean().item()
    (result,) = (m.value for m in record.metrics if m.metric == "input_deviation")
    assert result == pytest.approx(deviation)
    (line,) = (line for line in report.conditions if line.startswith("Normalised units on two_m"))
    assert f"1 is {deviation:.4g} in units of the input" in line
    for radius in radii:
        assert f"{radius:g} is {radius * deviation:.4g}" in line
    assert "input_deviation" not in set(report.board["metric"])


def test_units_of_the_input_need_no_words(tmp_path: Path):
    after = FGSM.replace('units = "normalised"\n', "")
    report = lapbench.run(suite(tmp_path, ["softmax"], after=after), results=tmp_path / "results")
    assert not any("Normalised units" in line for line in report.conditions)
