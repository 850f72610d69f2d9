"""Compositions that do not apply or diverge become records with a reason."""

import re
from pathlib import Path

from click.testing import CliRunner
from expect_refusal import refused
from make_suites import BOTH, TABLE, suite

import lapbench
from lapbench.cli.main import main
from lapbench.results.collect import load_records
from lapbench.results.folder import ResultsFolder
from lapbench.suite.planning import SelectionError

IDENTITY = ('"mlp"\n', '"identity"\n'), ("mlp.width = 8\n", "")


def run(path: Path) -> tuple[int, str]:
    """Exit status and output of a run that ends with a message, not with a traceback."""
    ran = CliRunner().invoke(main, ["run", str(path), "--results", str(path.parent / "r")])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), repr(ran.exception)
    return ran.exit_code, ran.output


def test_kind_of_training_that_a_suite_has_not_is_an_error(tmp_path: Path):
    path = suite(tmp_path, ["softmax"])
    with refused(SelectionError, "'pgd'", "natural"):
        lapbench.run(path, results=tmp_path / "r", training="pgd")


class TestSkipped:
    """Without ReLU layers label smoothness has nothing to compare."""

    def path(self, folder: Path, methods: list[str], training: str = "", table: str = "") -> Path:
        path = suite(folder, methods, training, table)
        text = path.read_text()
        for change in IDENTITY:
            text = text.replace(*change)
        path.write_text(text)
        return path

    def test_term_that_does_not_apply_is_a_record_with_its_reason(self, tmp_path: Path):
        path = self.path(tmp_path, ["label_smoothness", "softmax"])
        status, output = run(path)
        assert status == 0
        folder = ResultsFolder(tmp_path / "r")
        records = {r.cell.method.name: r for r in map(folder.read_record, folder.list_keys())}
        assert records["softmax"].status == "ok"
        skipped = records["label_smoothness"]
        assert skipped.status == "skipped"
        assert "label_smoothness: the network has 0 nn.ReLU" in str(skipped.reason)
        assert not any(skipped.curves.values())
        assert str(skipped.reason) in output

    def test_term_that_does_not_apply_to_a_head_leaves_the_others(self, tmp_path: Path):
        """The buffer of WNLL has one ReLU; two are needed."""
        run(self.path(tmp_path, ["wnll + label_smoothness", "wnll"]))
        frame = load_records(tmp_path / "r").drop_duplicates("key")
        assert dict(zip(frame["method"], frame["status"], strict=True)) == {
            "wnll + label_smoothness": "skipped",
            "wnll": "ok",
        }

    def test_is_reported_with_its_kind_of_training_where_nothing_else_ran(self, tmp_path: Path):
        status, output = run(self.path(tmp_path, ["label_smoothness"], BOTH, TABLE))
        assert status == 0
        lines = [line for line in output.splitlines() if ": skipped (label_smoothness: " in line]
        assert len({line.split(": skipped")[0] for line in lines}) == len(lines) == 2


def test_penalty_out_of_bounds_is_a_divergence_with_epoch_and_phase(tmp_path: Path):
    methods = (
        '["softmax", { name = "wnll + sparse_manifold", sparse_manifold.gamma_hamming = 1e300 }]'
    )
    run(suite(tmp_path, methods))
    frame = load_records(tmp_path / "r").drop_duplicates("key").set_index("method")
    assert frame.loc["wnll + sparse_manifold", "status"] == "diverged"
    reason = frame.loc["wnll + sparse_manifold", "reason"]
    assert re.match(r"epoch 1 \(.*linear\): the loss is (inf|nan)", reason)


def test_budget_too_small_for_the_phases_is_a_failed_record_with_the_remedy(tmp_path: Path):
    path = suite(tmp_path, ["softmax", "wnll + label_smoothness"])
    path.write_text(path.read_text().replace("epochs = 4", "epochs = 1"))
    status, output = run(path)
    assert status == 1
    assert (
        "wnll + label_smoothness on two_moons, repetition 0: failed (ValueError: epochs:" in output
    )
    assert "received 1;" in output
    assert "2 or more" in output
