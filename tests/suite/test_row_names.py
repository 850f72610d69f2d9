"""Names of rows show what differs within a task, and nothing else."""

from pathlib import Path

import pytest
from make_suites import SECOND, names, on_karate, planned, suite

FAST_GLL = '["softmax", { name = "gll", learning_rate = 0.1 }]'
FEWER = "labeled = 30\nmlp.width = 8\nbudget.learning_rate"


@pytest.mark.parametrize(
    ("methods", "more", "shown"),
    [
        (["softmax", "gll"], f"{FEWER} = 0.5\n", [{"softmax", "gll"}, {"softmax", "gll"}]),
        (
            FAST_GLL,
            f"{FEWER} = 0.1\n",
            [{"softmax (learning_rate=0.001)", "gll (learning_rate=0.1)"}, {"softmax", "gll"}],
        ),
    ],
)
def test_show_the_learning_rate_in_each_task_where_it_differs(
    tmp_path: Path, methods: list[str] | str, more: str, shown: list[set[str]]
):
    path = suite(tmp_path, methods, after=SECOND + more)
    assert len({each.cell.budget.learning_rate for each in planned(path)}) == 2
    tasks = ("two_moons (labeled=all)", "two_moons (labeled=30)")
    assert names(path) == {
        (task, method) for task, own in zip(tasks, shown, strict=True) for method in own
    }


@pytest.mark.parametrize(
    ("budget", "shown"),
    [
        ("epochs = 2", {"epochs=4", "epochs=2"}),
        ("batch_size = 80", {"batch_size=40", "batch_size=80"}),
        ('optimizer = "sgd"', {"optimizer=adam", "optimizer=sgd"}),
        ('schedule = "cosine"', {"schedule=constant", "schedule=cosine"}),
        ("weight_decay = 1e-4", {"weight_decay=0", "weight_decay=0.0001"}),
    ],
)
def test_show_the_budget_where_only_it_differs(tmp_path: Path, budget: str, shown: set[str]):
    path = suite(tmp_path, ["gll"], after=f"{SECOND}mlp.width = 8\nbudget.{budget}\n")
    assert names(path) == {("two_moons", f"gll ({field})") for field in shown}


def test_show_options_learning_rate_and_training_in_one_pair_of_brackets(tmp_path: Path):
    methods = (
        '[{ name = "gll", gll.tau = 0.5, learning_rate = 0.1 }, { name = "gll", train = "inner" }]'
    )
    assert {method for _, method in names(on_karate(tmp_path, methods))} == {
        "gll (tau=0.5, learning_rate=0.1, train=all)",
        "gll (tau=0.0, learning_rate=0.001, train=inner)",
    }
