"""Every mistake in a suite is named by its place, and by the value received or what is accepted."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from make_suites import (
    ATTACKED,
    BOTH,
    FGSM,
    SECOND,
    TABLE,
    TRANSFER,
    attacked,
    mistakes,
    on_karate,
    planned,
    suite,
)

from lapbench.cli.main import main
from lapbench.discovery import names

LABELS = '[{ name = "gll", label = "A" }, "svm", { name = "softmax", label = "A" }]'
AFTER_A_GRID = (
    '[{ name = "gll", grid.gll.tau = [0.1, 0.2] }, { name = "svm", label = "A" }, '
    '{ name = "softmax", label = "A" }, { name = "gll", gll.tau = 0.2 }, "svm"]'
)


def check(path: Path, *expected: tuple[str, str]) -> None:
    """A suite has these mistakes: each line has a place and then names a value."""
    lines = sorted(mistakes(path))
    assert [line.partition(": ")[0] for line in lines] == sorted(place for place, _ in expected)
    for line, (_, named) in zip(lines, sorted(expected), strict=True):
        assert named in line.partition(": ")[2]


@pytest.mark.parametrize(
    ("methods", "place", "named"),
    [
        ('["softmx"]', "methods[0].name", ", ".join(names("methods"))),
        ("[3]", "methods[0]", "received 3"),
        ('["softmax", "gll", "softmax"]', "methods[2]", "methods[0]"),
        ('["softmax", "gll + svm"]', "methods[1].name", "gll, svm"),
        ('["gll + parseval + gll"]', "methods[0].name", "gll, gll"),
        ('["parseval + gll + parseval"]', "methods[0].name", "parseval"),
        ('["gll + parsval"]', "methods[0].name", "'parsval'"),
        ('["gll + "]', "methods[0].name", "+"),
        ('["gll ++ parseval"]', "methods[0].name", "+"),
        ('["sparse_manifold", "svm", "softmax + sparse_manifold"]', "methods[2]", "methods[0]"),
        ('["parseval + gll", "gll+parseval"]', "methods[1]", "methods[0]"),
        ('["gll", { name = "gll", learning_rate = 0.001 }]', "methods[1]", "methods[0]"),
        ('["gll", { name = "gll", learning_rate = 1e-3 }]', "methods[1]", "methods[0]"),
        ('["gll", { name = "gll", label = "GLL" }]', "methods[1]", "methods[0]"),
        ('[{ name = "gll", learning_rate = 0 }]', "methods[0].learning_rate", "received 0"),
        ('[{ name = "gll", gll.bandwidth = 0.0 }]', "methods[0].gll.bandwidth", "received 0.0"),
        ('[{ name = "gll", gll = 3 }]', "methods[0].gll", "received 3"),
        ('[{ name = "gll", train = "outer" }]', "methods[0].train", "'outer'"),
        ('[{ name = "gll", label = 3 }]', "methods[0].label", "received 3"),
        (LABELS, "label of methods[2]", "methods[0]"),
        (
            '[{ name = "gll + parseval", parseval.beta = 2.0 }]',
            "methods[0].parseval.beta",
            "received 2.0",
        ),
        ('[{ name = "gll", gll.gamma = 2.0 }]', "methods[0].gll.gamma", ""),
        ('[{ name = "gll + parseval", svm.power = 2 }]', "methods[0].svm", ""),
        *(
            (f'[{{ name = "gll", grid = {grid} }}]', "methods[0].grid", "grid.gll.tau = [")
            for grid in (
                "3",
                "{}",
                "{ gll = 3 }",
                "{ gll = {} }",
                "{ gll.tau = 0.1 }",
                "{ gll = { tau = [] } }",
                "{ gll = { tau = [0.1], k = 5 } }",
                "{ gll.tau = [0.1], parseval = [3] }",
                "{ gll.tau = [0.1], parseval = 3 }",
            )
        ),
        ('[{ name = "gll", grid.gll.tau = [0.1, -1, -1] }]', "methods[0].gll.tau", "received -1"),
        ('[{ name = "gll", grid.gll.tau = [0.1, 0.1] }]', "methods[0].grid", ""),
        ('[{ name = "gll", grid.parseval.beta = [0.1] }]', "methods[0].grid.parseval", "gll"),
        ('[{ name = "gll + parseval", grid.name.x = [1] }]', "methods[0].grid.name", "gll"),
        ('[{ name = "gll", grid.train.inner = [1] }]', "methods[0].grid.train", "gll"),
        ('[{ name = "gll", gll = 3, grid.gll.tau = [0.1] }]', "methods[0].gll", "received 3"),
        ('[{ name = "gll", label = "A", grid.gll.tau = [0.1] }]', "methods[0].label", "'A'"),
        (
            '[{ name = "gll", gll.tau = 0.5, grid.gll.tau = [0.1] }]',
            "methods[0].gll.tau",
            "received 0.5",
        ),
    ],
)
def test_of_methods(tmp_path: Path, methods: str, place: str, named: str):
    check(suite(tmp_path, methods), (place, named))


@pytest.mark.parametrize(
    ("before", "after", "place", "named"),
    [
        (BOTH, "", "pgd", "step_size"),
        ('training = "pgd"\n', "", "pgd", "step_size"),
        ("", TABLE, "pgd", 'training = "pgd"'),
        ('training = ["natural"]\n', TABLE, "pgd", 'training = "pgd"'),
        ("training = []\n", "", "training", "received []"),
        ('training = ["pgd", "pgd"]\n', TABLE, "training[1]", "training[0]"),
        ('training = "pdg"\n', "", "training[0]", "'natural' or 'pgd'"),
        ('training = ["natural", "pdg"]\n', "", "training[1]", "'pdg'"),
        (BOTH, "[pgd]\nstep_size = 0.1\n", "pgd.epsilon", ""),
        (BOTH, TABLE.replace("0.2", "-0.2"), "pgd.epsilon", "received -0.2"),
        (BOTH, f"{TABLE}step = 3\n", "pgd.step", ""),
        ("", "[evaluation]\nsnapshot_epochs = [0, 9]\n", "evaluation.snapshot_epochs", "9"),
        ("", "[simclr]\nepochs = 1\nschedule.step = [[1, 0.1]]\n", "simclr.schedule", "'step'"),
        ("robustness = 3\n", "", "robustness", "received 3"),
        ("", f"{SECOND}mlp.width = 8\n", "tasks[1]", "tasks[0]"),
        ("", f"{SECOND}mlp.width = 8\nbudget.learning_rate = 1e-3\n", "tasks[1]", "tasks[0]"),
    ],
)
def test_of_training_and_other_tables(
    tmp_path: Path, before: str, after: str, place: str, named: str
):
    check(suite(tmp_path, ["softmax"], before, after), (place, named))


@pytest.mark.parametrize(
    ("change", "place", "named"),
    [
        (("[[tasks]]", "[tasks]"), "tasks", "received"),
        (('"two_moons"', "3"), "tasks[0].dataset", "received 3"),
        (("mlp.width = 8", "mlp.wide = 8"), "tasks[0].mlp.wide", ""),
        (("mlp.width = 8", "colour = 8"), "tasks[0].colour", ""),
        (("mlp.width = 8", "grid.gnn.layers = [2]"), "tasks[0].grid.gnn", "two_moons, mlp"),
        (("mlp.width = 8", "grid.mlp.width = [2, 2]"), "tasks[0].grid", ""),
        (("mlp.width = 8", "budget = { epoch = 2 }"), "tasks[0].budget.epoch", ""),
        (("mlp.width = 8", "budget.epochs = -1"), "tasks[0].budget.epochs", "received -1"),
        (("mlp.width = 8", "budget.learning_rate = 0"), "tasks[0].budget.learning_rate", "0"),
        (("mlp.width = 8", 'budget.epochs = "2"'), "tasks[0].budget.epochs", "received '2'"),
        (("mlp.width = 8", 'budget.schedule = "x"'), "tasks[0].budget.schedule", "'x'"),
        (("mlp.width = 8", "budget = 3"), "tasks[0].budget", "received 3"),
        (("epochs = 4\n", ""), "budget.epochs", ""),
        (("epochs = 4", 'epochs = "4"'), "budget.epochs", "received '4'"),
        (("batch_size", "batch-size"), "budget.batch-size", ""),
        (("seeds = 1", "seeds = 0"), "seeds", "received 0"),
        (('title = "tiny"', ""), "title", ""),
    ],
)
def test_of_tasks_and_the_budget(tmp_path: Path, change: tuple[str, str], place: str, named: str):
    path = suite(tmp_path, ["softmax"])
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    assert any(line.startswith(f"{place}: ") and named in line for line in mistakes(path))


@pytest.mark.parametrize(
    ("change", "place", "named"),
    [
        (('"fgsm"', '"fgms"'), "attacks[0].name", "'fgms'"),
        (('"fgsm"', "3"), "attacks[0].name", "received 3"),
        (('name = "fgsm"\n', ""), "attacks[0].name", "None"),
        ((FGSM, f"{FGSM}step = 3\n"), "attacks[0].step", ""),
        (("steps = [3]\n", ""), "attacks[1].steps", ""),
        (("steps = [3]", "steps = 3"), "attacks[1].steps", "received 3"),
        (("steps = [3]", "steps = [0]"), "attacks[1].steps[0]", "received 0"),
        (("steps = [3]", "steps = []"), "attacks[1].steps", "received []"),
        (("[0.1, 0.3]", "[0.3, 0.1]"), "attacks[0].epsilons", "received [0.3, 0.1]"),
        (("[0.1, 0.3]", "[0.3, 0.3]"), "attacks[0].epsilons", "received [0.3, 0.3]"),
        (("[0.1, 0.3]", '[0.1, "a"]'), "attacks[0].epsilons[1]", "received 'a'"),
        (("[0.1, 0.3]", "[0.1, -0.3]"), "attacks[0].epsilons[1]", "received -0.3"),
        ((FGSM, f'{FGSM}norm = "l1"\n'), "attacks[0].norm", "received 'l1'"),
        ((TRANSFER, f'{TRANSFER}label = "fgsm"\n'), "attacks[1]", "'fgsm'"),
        ((FGSM, FGSM + FGSM), "attacks[1]", "'fgsm'"),
        ((FGSM, f'{FGSM}label = "worst case"\n'), "attacks[0].label", "'worst case'"),
        ((FGSM, f'{FGSM}label = "none"\n'), "attacks[0].label", "'none'"),
        ((FGSM, f'{FGSM}label = ""\n'), "attacks[0].label", "''"),
        ((FGSM, f"{FGSM}label = 3\n"), "attacks[0].label", "received 3"),
        ((FGSM + TRANSFER, ""), "attacks", "None"),
        ((FGSM + TRANSFER, "attacks = []\n"), "attacks", "received []"),
        ((FGSM + TRANSFER, 'attacks = "fgsm"\n'), "attacks", "'fgsm'"),
        (("epsilon = 0.3", "epsilon = 0.05"), "epsilon", "received 0.05 (linf, input"),
        (("epsilon = 0.3", 'epsilon = 0.3\nnorm = "l2"'), "epsilon", "0.3 (l2, input"),
        (("epsilon = 0.3", 'epsilon = 0.3\nunits = "normalised"'), "epsilon", "linf, normalised"),
        (("epsilon = 0.3\n", ""), "epsilon", ""),
        (("epsilon = 0.3", "epsilon = 0"), "epsilon", "received 0"),
        (("epsilon = 0.3", 'epsilon = "0.3"'), "epsilon", "received '0.3'"),
        (("samples = 20", "samples = 0"), "samples", "received 0"),
        (("samples = 20", "sample = 20"), "sample", ""),
    ],
)
def test_of_attacks(tmp_path: Path, change: tuple[str, str], place: str, named: str):
    assert change[0] in ATTACKED
    path = attacked(tmp_path, table=ATTACKED.replace(*change, 1))
    check(path, (f"robustness.{place}", named))


def test_all_are_named_at_once(tmp_path: Path):
    table = ATTACKED.replace('"fgsm"', '"fgms"').replace("samples = 20", "samples = 0")
    methods = '[{ name = "gll + parseval", gll.tau = -1, parseval.beta = 0 }]'
    check(
        suite(tmp_path, methods, after=table.replace("steps = [3]", "steps = [2, 1]")),
        ("methods[0].gll.tau", "-1"),
        ("methods[0].parseval.beta", "0"),
        ("robustness.attacks[0].name", "'fgms'"),
        ("robustness.attacks[1].steps", "[2, 1]"),
        ("robustness.samples", "0"),
    )
    ran = CliRunner().invoke(main, ["run", str(tmp_path / "suite.toml")])
    assert ran.exit_code == 2
    assert "Traceback" not in ran.output
    assert len(ran.output.splitlines()) == 6


def test_after_a_grid_have_the_places_of_the_file(tmp_path: Path):
    check(
        suite(tmp_path, AFTER_A_GRID),
        ("label of methods[2]", "methods[1]"),
        ("methods[3]", "methods[0]"),
        ("methods[4]", "methods[1]"),
    )


def test_name_beside_a_grid_is_checked(tmp_path: Path):
    for name in ("3", '""', '"no such"'):
        path = on_karate(tmp_path, f"[{{ name = {name}, grid.gll.tau = [0.1] }}]")
        assert all(line.startswith("methods[0].") for line in mistakes(path))


@pytest.mark.parametrize(("epochs", "snapshot"), [(2, 3), (8, 9)])
def test_of_a_snapshot_know_the_last_epoch_of_a_task(tmp_path: Path, epochs: int, snapshot: int):
    after = f"[evaluation]\nsnapshot_epochs = [{snapshot}]\n"
    path = suite(tmp_path, ["softmax"], after=after, task=f"budget.epochs = {epochs}\n")
    check(path, ("evaluation.snapshot_epochs", f"received {snapshot}"))
    path.write_text(path.read_text().replace(f"[{snapshot}]", f"[{epochs}]"))
    assert len(planned(path)) == 1
