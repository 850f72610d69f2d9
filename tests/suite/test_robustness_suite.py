"""Suites with attacks: keys name the attacks and their sources, and sources run first."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from expect_refusal import refused
from make_suites import ATTACKED, BOTH, TABLE, TRANSFER, attacked, suite

from lapbench.attacks import fgsm
from lapbench.running.api import RunOptions, prepare
from lapbench.suite.suite import SuiteError, load_suite

NOWHERE = "0123456789abcdef"


def test_default_of_a_label_is_the_name(tmp_path: Path):
    about = load_suite(attacked(tmp_path)).robustness
    assert about is not None
    assert [planned.label for planned in about.attacks] == ["fgsm", "transfer"]


class TestKeys:
    def keys(self, folder: Path, *changes: tuple[str, str]) -> dict[str, str]:
        table = ATTACKED
        for change in changes:
            assert change[0] in table
            table = table.replace(*change, 1)
        cells = prepare(attacked(folder, table=table), RunOptions()).plan.cells
        return {planned.cell.method.name: planned.key for planned in cells}

    def test_source_is_named_in_the_cell_by_its_key(self, tmp_path: Path):
        cells = {
            p.cell.method.name: p for p in prepare(attacked(tmp_path), RunOptions()).plan.cells
        }
        assert cells["gll"].cell.sources == {"softmax": cells["softmax"].key}
        assert cells["softmax"].cell.sources == {}

    @pytest.mark.parametrize(
        "change",
        [
            ("epsilon = 0.3", "epsilon = 0.2"),
            ("samples = 20", "samples = 21"),
            ("epsilons = [0.1, 0.3]", "epsilons = [0.1, 0.2]"),
            ("steps = [3]", "steps = [4]"),
            ('"fgsm"', '"fgsm"\nlabel = "other"'),
            ("steps = [3]\n", 'steps = [3]\nsource = "gll"\n'),
        ],
    )
    def test_change_of_the_attacks_changes_every_key(self, tmp_path: Path, change: tuple[str, str]):
        before, after = self.keys(tmp_path), self.keys(tmp_path, change)
        assert all(before[name] != after[name] for name in before)

    def test_a_default_that_is_written_changes_no_key(self, tmp_path: Path):
        change = ("epsilon = 0.3", 'epsilon = 0.3\nnorm = "linf"\nunits = "input"')
        source = ("steps = [3]\n", 'steps = [3]\nsource = "softmax"\nrestarts = 1\n')
        assert self.keys(tmp_path, change, source) == self.keys(tmp_path)

    def test_new_version_of_an_attack_changes_every_key(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        before = self.keys(tmp_path)
        monkeypatch.setattr(fgsm.FGSM, "version", 2)
        after = self.keys(tmp_path)
        assert all(before[name] != after[name] for name in before)

    def test_change_of_the_source_changes_the_key(self, tmp_path: Path):
        """The cell of gll is the same but for the model that its transfer attack uses."""
        cells = {
            p.cell.method.name: p for p in prepare(attacked(tmp_path), RunOptions()).plan.cells
        }
        other = replace(cells["gll"].cell, sources={"softmax": NOWHERE})
        assert other.key("data") != cells["gll"].cell.key("data")

    def test_each_cell_has_the_source_of_its_own_repetition_and_training(self, tmp_path: Path):
        path = attacked(tmp_path)
        path.write_text(BOTH + path.read_text().replace("seeds = 1", "seeds = 2") + TABLE)
        cells = prepare(path, RunOptions()).plan.cells
        by_key = {planned.key: planned.cell for planned in cells}
        gll = [planned.cell for planned in cells if planned.cell.method.name == "gll"]
        assert len(gll) == 4
        for cell in gll:
            source = by_key[cell.sources["softmax"]]
            assert source.method.name == "softmax"
            assert (source.repetition, source.training) == (cell.repetition, cell.training)


@pytest.mark.parametrize(
    ("methods", "source", "count"),
    [
        (["gll"], "softmax", 0),
        (["gll", "softmax"], "svm", 0),
        (["gll", "softmax"], "0123", 0),
        ([{"name": "softmax", "learning_rate": 0.1}, "softmax", "gll"], "softmax", 2),
    ],
)
def test_source_must_be_one_method_of_the_suite(
    tmp_path: Path, methods: list[Any], source: str, count: int
):
    written = json.dumps(methods).replace('": ', '" = ')
    path = suite(tmp_path, written, after=f'{ATTACKED}source = "{source}"\n')
    with refused(SuiteError, f"source '{source}'", f"{count} cells on two_moons"):
        prepare(path, RunOptions())


class TestOrder:
    def test_source_runs_before_what_needs_it(self, tmp_path: Path):
        prepared = prepare(attacked(tmp_path), RunOptions())
        assert [p.cell.method.name for p in prepared.plan.cells] == ["gll", "softmax"]
        for cells in (prepared.selected, prepared.missing):
            assert [p.cell.method.name for p in cells] == ["softmax", "gll"]

    def test_source_is_added_to_a_selection(self, tmp_path: Path):
        prepared = prepare(attacked(tmp_path), RunOptions(methods="gll"))
        assert [p.cell.method.name for p in prepared.selected] == ["softmax", "gll"]
        alone = prepare(attacked(tmp_path), RunOptions(methods="softmax"))
        assert [p.cell.method.name for p in alone.selected] == ["softmax"]

    def test_without_a_transfer_attack_nothing_is_added(self, tmp_path: Path):
        path = attacked(tmp_path, table=ATTACKED.replace(TRANSFER, ""))
        prepared = prepare(path, RunOptions(methods="gll"))
        assert [p.cell.method.name for p in prepared.selected] == ["gll"]
