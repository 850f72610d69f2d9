"""Every mistake in a suite is named once, with its place and the value that was received."""

from pathlib import Path

import pytest
from expect_refusal import refused
from make_suites import ATTACKED, BOTH, FGSM, SECOND, TRANSFER, attacked, mistakes, suite

from lapbench.discovery import names
from lapbench.suite.suite import SuiteError, load_suite

PGD = "pgd = { epsilon = 0.2, step_size = 0.1 }\n"

TOP = [
    (BOTH, "pgd", "missing"),
    ('training = "pgd"\n', "pgd", "missing"),
    (PGD, "pgd", "training"),
    (f'training = ["natural"]\n{PGD}', "pgd", "training"),
    ("training = []\n", "training", "received []"),
    (f'training = ["pgd", "pgd"]\n{PGD}', "training[1]", "training[0]"),
    ('training = "pdg"\n', "training[0]", "received 'pdg'", "'natural' or 'pgd'"),
    ('training = ["natural", "pdg"]\n', "training[1]", "received 'pdg'"),
    (f"{BOTH}pgd = {{ step_size = 0.1 }}\n", "pgd.epsilon", "missing"),
    (BOTH + PGD.replace("0.2", "-0.2"), "pgd.epsilon", "received -0.2"),
    (BOTH + PGD.replace(" }", ", step = 3 }"), "pgd.step", "unknown field"),
    ("simclr = { epochs = 1, schedule = { step = 3 } }\n", "simclr.schedule", "{'step': 3}"),
    ("evaluation.snapshot_epochs = [0, 9]\n", "evaluation.snapshot_epochs", "received 9", "4"),
    ("robustness = 3\n", "robustness", "received 3"),
]

TASK = [
    ("colour = 1", "tasks[0].colour", "unknown field"),
    ("mlp.wide = 1", "tasks[0].mlp.wide", "unknown field"),
    ("budget = { epoch = 2 }", "tasks[0].budget.epoch", "unknown field"),
    ("budget = { epochs = -1 }", "tasks[0].budget.epochs", "received -1", "0"),
    ("budget = { learning_rate = 0 }", "tasks[0].budget.learning_rate", "received 0", "than 0"),
    ('budget = { epochs = "2" }', "tasks[0].budget.epochs", "received '2'", "integer"),
    ('budget = { schedule = "linear" }', "tasks[0].budget.schedule", "received 'linear'"),
    ("budget = 3", "tasks[0].budget", "received 3"),
    ("grid.gnn.layers = [2]", "tasks[0].grid.gnn", "two_moons, mlp"),
    ("grid.mlp.feature_size = [2, 2]", "tasks[0].grid", "value"),
]

METHODS = [
    ("[3]", "methods[0]", "received 3"),
    ('["softmx"]', "methods[0].name", "'softmx'", "'softmax'", ", ".join(names("methods"))),
    ('["softmax", "gll + svm"]', "methods[1].name", "received 2 heads (gll, svm)"),
    ('["gll + parseval + gll"]', "methods[0].name", "received 2 heads (gll, gll)"),
    ('["parseval + gll + parseval"]', "methods[0].name", "parseval is repeated"),
    ('["gll + parsval"]', "methods[0].name", "'parsval'"),
    ('["gll + "]', "methods[0].name", "+"),
    ('["gll ++ parseval"]', "methods[0].name", "+"),
    ('["softmax", "gll", "softmax"]', "methods[2]", "methods[0]"),
    ('["parseval", "svm", "softmax + parseval"]', "methods[2]", "methods[0]"),
    ('["parseval + gll", "gll+parseval"]', "methods[1]", "methods[0]"),
    ('["gll", { name = "gll", learning_rate = 1e-3 }]', "methods[1]", "methods[0]"),
    ('["gll", { name = "gll", label = "GLL" }]', "methods[1]", "methods[0]"),
    ('[{ name = "gll", learning_rate = 0 }]', "methods[0].learning_rate", "received 0"),
    ('[{ name = "gll", gll.bandwidth = 0.0 }]', "methods[0].gll.bandwidth", "received 0.0"),
    ('[{ name = "gll", label = 3 }]', "methods[0].label", "received 3", "string"),
    (
        '[{ name = "gll", train = "outer" }]',
        "methods[0].train",
        "received 'outer'",
        "'all' or 'inner'",
    ),
    (
        '[{ name = "gll", label = "A" }, "svm", { name = "softmax", label = "A" }]',
        "methods[2].label",
        "methods[0].label",
    ),
    (
        '[{ name = "gll + parseval", parseval.beta = 2.0 }]',
        "methods[0].parseval.beta",
        "received 2.0",
        "0.5",
    ),
    ('[{ name = "gll + parseval", parseval.a = 2 }]', "methods[0].parseval.a", "unknown field"),
    ('[{ name = "gll + parseval", svm.power = 2 }]', "methods[0].svm", "unknown field"),
    ('[{ name = "gll", grid.gll.tau = [0, -1, -1] }]', "methods[0].gll.tau", "received -1", "0"),
    ('[{ name = "gll", grid.gll.tau = [0.1, 0.1] }]', "methods[0].grid", "value"),
    ('[{ name = "gll", gll = 3, grid.gll.tau = [0.1] }]', "methods[0].gll", "received 3"),
    (
        '[{ name = "gll", label = "A", grid.gll.tau = [0.1, 0.2] }]',
        "methods[0].label",
        "received 'A'",
        "grid",
    ),
    # Its value would be lost without a word.
    (
        '[{ name = "gll", gll.tau = 0.5, grid.gll.tau = [0.1] }]',
        "methods[0].gll.tau",
        "received 0.5",
        "grid",
    ),
    *(
        (f'[{{ name = "gll + svm", grid.{part}.x = [0.1] }}]', f"methods[0].grid.{part}", "svm")
        for part in ("parseval", "name", "train")
    ),
    *(
        (f'[{{ name = "gll", grid = {grid} }}]', "methods[0].grid", "grid.gll.tau = [0.0, 0.01]")
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
]

# What is replaced in a whole suite.
CHANGES = [
    ('title = "tiny"\n', "", "title", "missing"),
    ("[[tasks]]", "[tasks]", "tasks", "received {"),
    ('"two_moons"', "3", "tasks[0].dataset", "received 3"),
    ("epochs = 4\n", "", "budget.epochs", "missing"),
    ("epochs = 4\n", 'epochs = "4"\n', "budget.epochs", "received '4'"),
    (ATTACKED, "[[robustness]]\nepsilon = 0.3\n", "robustness", "received [{'epsilon': 0.3}]"),
]

ROBUSTNESS = [
    ("epsilon = 0.3\n", "", "epsilon", "missing"),
    ("epsilon = 0.3", "epsilon = 0", "epsilon", "received 0", "greater"),
    ("epsilon = 0.3", 'epsilon = "0.3"', "epsilon", "received '0.3'"),
    ("epsilon = 0.3", "epsilon = 0.05", "epsilon", "received 0.05 (linf, input units)"),
    ("epsilon = 0.3", 'epsilon = 0.3\nnorm = "l2"', "epsilon", "0.3 (l2, input units)"),
    ("epsilon = 0.3", 'epsilon = 0.3\nunits = "normalised"', "epsilon", "linf, normalised units"),
    ("samples = 20", "samples = 0", "samples", "received 0", "greater"),
    ("samples = 20", "sample = 20", "sample", "unknown field"),
    (FGSM + TRANSFER, "", "attacks", "received None"),
    (FGSM + TRANSFER, "attacks = []\n", "attacks", "received []"),
    (FGSM + TRANSFER, 'attacks = "fgsm"\n', "attacks", "received 'fgsm'"),
    ('"fgsm"', '"fgms"', "attacks[0].name", "'fgms'"),
    ('"fgsm"', "3", "attacks[0].name", "received 3"),
    ('name = "fgsm"\n', "", "attacks[0].name", "received None"),
    (FGSM, f"{FGSM}step = 3\n", "attacks[0].step", "unknown field"),
    (FGSM, f'{FGSM}norm = "l1"\n', "attacks[0].norm", "received 'l1'"),
    (FGSM, FGSM + FGSM, "attacks[1]", "'fgsm'", "label"),
    (TRANSFER, f'{TRANSFER}label = "fgsm"\n', "attacks[1]", "'fgsm'", "label"),
    *(
        (FGSM, f"{FGSM}label = {label!r}\n", "attacks[0].label", f"received {label!r}")
        for label in ("worst case", "none", "", 3)
    ),
    ("steps = [3]\n", "", "attacks[1].steps", "missing"),
    ("steps = [3]", "steps = 3", "attacks[1].steps", "received 3"),
    ("steps = [3]", "steps = [0]", "attacks[1].steps[0]", "received 0"),
    ("steps = [3]", "steps = []", "attacks[1].steps", "received []"),
    ("[0.1, 0.3]", "[0.3, 0.1]", "attacks[0].epsilons", "received [0.3, 0.1]"),
    ("[0.1, 0.3]", "[0.3, 0.3]", "attacks[0].epsilons", "received [0.3, 0.3]"),
    ("[0.1, 0.3]", '[0.1, "a"]', "attacks[0].epsilons[1]", "received 'a'"),
    ("[0.1, 0.3]", "[0.1, -0.3]", "attacks[0].epsilons[1]", "received -0.3"),
]


def expect(path: Path, place: str, *named: str) -> None:
    """The suite has one mistake, at this place, and its message has these texts."""
    (mistake,) = mistakes(path)
    received, message = mistake.split(": ", 1)
    assert received == place
    assert all(text in message for text in named), message


@pytest.mark.parametrize("case", TOP, ids=lambda case: case[0])
def test_top_of_a_suite(tmp_path: Path, case: tuple[str, ...]):
    text, *named = case
    expect(suite(tmp_path, ["softmax"], before=text), *named)


@pytest.mark.parametrize("case", TASK, ids=lambda case: case[0])
def test_task(tmp_path: Path, case: tuple[str, ...]):
    text, *named = case
    expect(suite(tmp_path, ["softmax"], task=f"{text}\n"), *named)


@pytest.mark.parametrize("case", METHODS, ids=lambda case: case[0])
def test_methods(tmp_path: Path, case: tuple[str, ...]):
    text, *named = case
    expect(suite(tmp_path, text), *named)


@pytest.mark.parametrize(
    "case",
    [*CHANGES, *((old, new, f"robustness.{at}", *named) for old, new, at, *named in ROBUSTNESS)],
    ids=lambda case: f"{case[2]}-{case[3]}",
)
def test_change_of_a_suite_with_attacks(tmp_path: Path, case: tuple[str, ...]):
    old, new, place, *named = case
    path = attacked(tmp_path)
    text = path.read_text().replace("two_moons.samples = 160\n", "")
    # "epsilon = 0.3" and "name" stand in more than one table.
    start = text.index(ATTACKED) if place.startswith("robustness.") else 0
    assert old in text[start:]
    path.write_text(text[:start] + text[start:].replace(old, new, 1))
    expect(path, place, *named)


@pytest.mark.parametrize("more", ["", "budget.learning_rate = 1e-3\n"])
def test_tasks_that_make_equal_cells(tmp_path: Path, more: str):
    """They have one key, and their results would count twice."""
    path = suite(tmp_path, ["softmax", "svm"], after=f"{SECOND}mlp.width = 8\n{more}")
    expect(path, "tasks[1]", "tasks[0]")


@pytest.mark.parametrize("name", ["3", '""', '"no such"'])
def test_name_beside_a_grid(tmp_path: Path, name: str):
    lines = mistakes(suite(tmp_path, f"[{{ name = {name}, grid.gll.tau = [0.1] }}]"))
    assert all(line.startswith("methods[0].") for line in lines)


def test_all_mistakes_are_named_at_once_with_their_places_in_the_file(tmp_path: Path):
    grid = '{ name = "gll", grid.gll.tau = [0.1, 0.2, 0.3] }'
    methods = (
        f'[{grid}, {{ name = "svm", label = "A" }}, {{ name = "softmax", label = "A" }}, '
        '{ name = "gll", gll.tau = 0.2 }, "svm", '
        '{ name = "gll + parseval", gll.tau = -1, parseval.beta = 0 }]'
    )
    table = ATTACKED.replace('"fgsm"', '"fgms"').replace("samples = 20", "samples = 0")
    table = table.replace("steps = [3]", "steps = [2, 1]")
    lines = mistakes(suite(tmp_path, methods, "threads = 0\n", table))
    assert {line.split(": ")[0] for line in lines} == {
        "threads",
        "methods[2].label",
        "methods[3]",
        "methods[4]",
        "methods[5].gll.tau",
        "methods[5].parseval.beta",
        "robustness.samples",
        "robustness.attacks[0].name",
        "robustness.attacks[1].steps",
    }


@pytest.mark.parametrize("content", [b"title = ", b"\xff\xfe"])
def test_text_that_is_not_toml(tmp_path: Path, content: bytes):
    path = tmp_path / "suite.toml"
    path.write_bytes(content)
    with refused(SuiteError, str(path), "TOML"):
        load_suite(path)
