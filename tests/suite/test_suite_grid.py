"""A grid in a method of a suite stands for a method each of its combinations."""

from pathlib import Path

import pytest
from make_suites import mistakes, planned, suite


def test_every_combination_is_a_method(tmp_path: Path):
    grid = "{ gll = { tau = [0.0, 0.1], k = [5, 7] }, parseval = { beta = [0.1, 0.2] } }"
    path = suite(
        tmp_path, f'[{{ name = "gll + parseval", gll.base_per_class = 3, grid = {grid} }}]'
    )
    found = [
        (parts.head.parameters["tau"], parts.head.parameters["k"], term.parameters["beta"])
        for parts in (each.cell.method for each in planned(path))
        for term in parts.terms
    ]
    assert sorted(found) == [(t, k, b) for t in (0.0, 0.1) for k in (5, 7) for b in (0.1, 0.2)]
    assert {p.cell.method.head.parameters["base_per_class"] for p in planned(path)} == {3}
    assert len({each.key for each in planned(path)}) == 8


@pytest.mark.parametrize(
    "grid",
    [
        "3",
        "{}",
        "{ gll = 3 }",
        "{ gll = {} }",
        "{ gll.tau = 0.1 }",
        "{ gll = { tau = [] } }",
        "{ gll = { tau = [0.1], k = 5 } }",
        "{ gll.tau = [0.1], parseval = [3] }",
        "{ gll.tau = [0.1], parseval = 3 }",
    ],
)
def test_what_is_no_grid_is_a_mistake(tmp_path: Path, grid: str):
    found = mistakes(suite(tmp_path, f'[{{ name = "gll", grid = {grid} }}]'))
    assert found[0].startswith("methods[0].grid: received ")
    assert "grid.gll.tau = [0.0, 0.01]" in found[0]


def test_wrong_values_are_mistakes_of_the_entry(tmp_path: Path):
    (found,) = mistakes(suite(tmp_path, '[{ name = "gll", grid.gll.tau = [0.1, -1, -1] }]'))
    assert found == "methods[0].gll.tau: received -1; it should be greater than or equal to 0"


def test_values_that_stand_twice_are_a_mistake(tmp_path: Path):
    found = mistakes(suite(tmp_path, '[{ name = "gll", grid.gll.tau = [0.1, 0.1] }]'))
    assert found == ["methods[0].grid: makes the same twice; leave out a value"]


@pytest.mark.parametrize(
    ("part", "option"), [("parseval", "beta"), ("name", "x"), ("train", "inner")]
)
def test_options_of_what_is_no_part_are_a_mistake(tmp_path: Path, part: str, option: str):
    methods = f'[{{ name = "gll + svm", grid.{part}.{option} = [0.1] }}]'
    (found,) = mistakes(suite(tmp_path, methods))
    assert found.startswith(f"methods[0].grid.{part}: ")
    assert "gll, svm" in found


def test_options_that_are_no_table_are_a_mistake(tmp_path: Path):
    methods = '[{ name = "gll", gll = 3, grid.gll.tau = [0.1] }]'
    (found,) = mistakes(suite(tmp_path, methods))
    assert found.startswith("methods[0].gll: received 3")


@pytest.mark.parametrize("name", ["3", '""', '"no such"'])
def test_name_beside_a_grid_is_checked(tmp_path: Path, name: str):
    found = mistakes(suite(tmp_path, f"[{{ name = {name}, grid.gll.tau = [0.1] }}]"))
    assert all(line.startswith("methods[0].") for line in found)


def test_label_of_a_grid_is_a_mistake(tmp_path: Path):
    methods = '[{ name = "gll", label = "A", grid.gll.tau = [0.1, 0.2] }]'
    (found,) = mistakes(suite(tmp_path, methods))
    assert found.startswith("methods[0].label: received 'A' beside a grid, ")


def test_places_after_a_grid_are_those_of_the_file(tmp_path: Path):
    grid = '{ name = "gll", grid.gll.tau = [0.1, 0.2, 0.3] }'
    methods = (
        f'[{grid}, {{ name = "svm", label = "A" }}, {{ name = "softmax", label = "A" }}, '
        '{ name = "gll", gll.tau = 0.2 }, "svm"]'
    )
    assert set(mistakes(suite(tmp_path, methods))) == {
        "label of methods[2]: equal to label of methods[1]; leave one of them out",
        "methods[3]: equal to methods[0]; leave one of them out",
        "methods[4]: equal to methods[1]; leave one of them out",
    }


def test_an_option_beside_the_grid_of_it_is_a_mistake(tmp_path: Path):
    """Its value would be lost without a word."""
    (found,) = mistakes(suite(tmp_path, '[{ name = "gll", gll.tau = 0.5, grid.gll.tau = [0.1] }]'))
    assert found.startswith("methods[0].gll.tau: received 0.5 beside the grid, whose values")


def test_every_combination_of_a_task_is_a_task(tmp_path: Path):
    grid = "grid = { two_moons.noise = [0.1, 0.2], mlp.feature_size = [2, 3] }\n"
    found = {
        (each.cell.dataset.parameters["noise"], each.cell.backbone.parameters["feature_size"])
        for each in planned(suite(tmp_path, ["softmax"], task=grid))
    }
    assert found == {(noise, size) for noise in (0.1, 0.2) for size in (2, 3)}


def test_a_grid_of_a_task_names_its_data_set_or_backbone(tmp_path: Path):
    (found,) = mistakes(suite(tmp_path, ["softmax"], task="grid.gnn.layers = [2]\n"))
    assert found.startswith("tasks[0].grid.gnn: ")
    assert "two_moons, mlp" in found


def test_tasks_of_a_grid_that_are_equal_are_a_mistake(tmp_path: Path):
    (found,) = mistakes(suite(tmp_path, ["softmax"], task="grid.mlp.feature_size = [2, 2]\n"))
    assert found == "tasks[0].grid: makes the same twice; leave out a value"
