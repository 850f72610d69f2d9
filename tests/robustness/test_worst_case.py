"""The worst case: what stays right under every attack in the ball, sample by sample."""

import pytest
import torch
from make_cells import load_task
from make_toys import (
    FAR,
    SEEDS,
    Toy,
    assessed,
    first,
    offer,
    plan,
    samples,
    shift,
    values,
    with_mean,
)
from torch import Tensor

from lapbench.attacks.base.attack import WORST
from lapbench.attacks.base.target import Target
from lapbench.robustness.assess import assess, attacked_split
from lapbench.suite.cells import Robustness

ONE = samples([1.0])
RIGHT = shift([0.0], label="nothing")


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch)


def pit(x: Tensor) -> Tensor:
    """A score that is negative only within 0.1 of 0.5."""
    return (x[:, 0] - 0.5).square() - 0.01


def test_a_sample_is_right_if_it_is_right_under_each_attack():
    """Each attack leaves another three of four right, and together they leave two."""
    split = samples([0.2, 0.2, 0.2, 0.2])
    attacks = [shift([-0.3, 0.0, 0.0, 0.0]), shift([0.0, 0.0, -0.3, 0.0], label="other")]
    assessment = assessed(split, *attacks)
    assert [values(assessment, label)[0.5] for label in ("shift", "other", WORST)] == [
        0.75,
        0.75,
        0.5,
    ]


def test_what_is_wrong_without_an_attack_is_wrong_throughout():
    assessment = assessed(samples([-0.1, 1.0]), shift([0.5], epsilons=[0.2, 0.5]))
    assert values(assessment, "shift") == {0.2: 1, 0.5: 1}
    assert values(assessment, WORST) == {0.2: 0.5, 0.5: 0.5}
    assert values(assessment, WORST, "joint_accuracy") == {0.5: 0.5}


def test_what_was_found_counts_at_every_larger_radius_and_at_no_smaller():
    attack = shift([-0.2], epsilons=[0.1, 0.2])
    assessment = assessed(samples([0.65]), attack, shift([-0.5], label="larger"), score=pit)
    assert values(assessment, "shift") == {0.1: 0, 0.2: 0}
    assert values(assessment, "larger") == {0.5: 1}
    assert values(assessment, WORST) == {0.1: 0, 0.2: 0, 0.5: 0}
    assessment = assessed(samples([0.8]), shift([-0.3], epsilons=[0.1, 0.5]), score=pit)
    assert values(assessment, WORST) == {0.1: 1, 0.5: 0}


def test_radii_are_those_of_the_balls_of_its_kind_and_the_headline():
    other_norm = shift([0.0], label="l2", norm="l2", epsilons=[0.1, 2.0])
    other_units = shift([0.0], label="normalised", units="normalised", epsilons=[0.3])
    attacks = [shift([0.0], epsilons=[0.2, 0.4]), other_norm, other_units]
    assert list(values(assessed(ONE, *attacks), WORST)) == [0.2, 0.4, 0.5]
    assessment = assessed(ONE, *attacks, norm="l2")
    assert list(values(assessment, WORST)) == [0.1, 0.5, 2.0]
    assert {m.norm for m in assessment.metrics if m.attack == WORST} == {"l2"}


@pytest.mark.parametrize(
    ("attack", "label"),
    [
        (plan("anywhere", shifts=[[-0.9]]), "anywhere"),
        (shift([-0.9], label="l2", norm="l2", epsilons=[0.9]), "l2"),
        # One sample never varies, so that the scale is 1.
        (shift([-0.9], label="units", units="normalised", epsilons=[0.9]), "units"),
    ],
)
def test_what_was_found_elsewhere_is_moved_into_the_ball_and_predicted_again(attack, label: str):
    """It jumps over the pit, into which the ball of 0.5 moves it back."""
    assessment = assessed(ONE, RIGHT, attack, score=pit)
    assert set(values(assessment, label).values()) == {1}
    assert values(assessment, WORST) == {0.5: 0}
    assert assessment.arrays[f"attacked x: {WORST}"][0, 0] == pytest.approx(0.5)


def test_what_was_moved_into_a_ball_counts_in_the_larger_ones_too():
    """The ball of 0.5 moves it into the pit, that of 0.9 beyond."""
    jump = plan("anywhere", shifts=[[-FAR]])
    assessment = assessed(ONE, shift([0.0], epsilons=[0.5, 0.9]), jump, score=pit)
    assert values(assessment, WORST) == {0.5: 0, 0.9: 0}
    assert values(assessment, "anywhere", "headline_accuracy") == {0.5: 0}
    assert values(assessment, "shift", "headline_accuracy") == {0.5: 1}


def test_what_is_wrong_only_outside_of_the_ball_does_not_count():
    assessment = assessed(ONE, RIGHT, plan("anywhere", shifts=[[-FAR]]))
    assert values(assessment, "anywhere") == {2.0: 0}
    assert values(assessment, WORST) == {0.5: 1}


def test_moving_into_the_ball_respects_the_bounds():
    attack = plan("anywhere", shifts=[[-FAR]])
    assessment = assessed(
        samples([0.3]), RIGHT, attack, score=lambda x: x[:, 0] + 0.1, bounds=(0, 1)
    )
    assert assessment.arrays[f"attacked x: {WORST}"][0, 0] == 0
    assert values(assessment, WORST) == {0.5: 1}


@pytest.mark.parametrize("name", ["faulty", "chance"])
def test_changes_of_the_model_and_chance_are_left_out(name: str):
    options = {"shifts": [[-0.5]]} if name == "chance" else {}
    assessment = assessed(samples([0.2]), RIGHT, plan(name, **options))
    assert set(values(assessment, name).values()) == {0}
    assert values(assessment, WORST) == {0.5: 1}
    assert values(assessment, WORST, "joint_accuracy") == {0.5: 1}


@pytest.mark.parametrize("alone", [plan("chance", shifts=[[-0.5]]), plan("inapplicable")])
def test_without_a_search_there_is_no_worst_case(alone):
    assessment = assessed(ONE, alone)
    assert not values(assessment, WORST)
    assert f"attacked x: {WORST}" not in assessment.arrays


def test_a_failed_attack_leaves_no_trace():
    assessment = assessed(samples([0.2]), plan("broken", mistake="error"), RIGHT)
    assert values(assessment, WORST) == {0.5: 1}


class TestJointAndSingle:
    """Score x_i/2 + mean(x) at x = (1, 1, 2), moved by −1.25 to (−1/4, −1/4, 3/4), mean 1/12.

    Jointly: −1/8 + 1/12 < 0 twice, 3/8 + 1/12 > 0. One at a time the mean is 11/12: −1/8 + 11/12,
    −1/8 + 11/12 and 3/8 + 11/12 are all positive.
    """

    ATTACK = shift([-1.25], epsilons=[1.25])

    def test_batch_dependent_model_by_hand(self):
        split = samples([1.0, 1.0, 2.0])
        assessment = assessed(split, self.ATTACK, score=with_mean, epsilon=1.25)
        assert values(assessment, WORST) == {1.25: pytest.approx(1 / 3)}
        assert values(assessment, WORST, "joint_accuracy") == {1.25: pytest.approx(1 / 3)}
        assert values(assessment, WORST, "single_accuracy") == {1.25: 1}

    def test_batches_are_those_of_the_prediction(self):
        """Alone in its batch a sample has itself for a mean: −1/8 − 1/4 < 0, 3/8 + 3/4 > 0."""
        split = samples([1.0, 1.0, 2.0])
        assessment = assessed(split, self.ATTACK, score=with_mean, epsilon=1.25, batch_size=1)
        for number in ("joint_accuracy", "single_accuracy"):
            assert values(assessment, WORST, number) == {1.25: pytest.approx(1 / 3)}

    def test_samples_without_a_class_are_in_the_batch_and_not_counted(self):
        split = samples([1.0, 1.0, 2.0, 9.0], [1, 1, 1, -1])
        assessment = assessed(split, self.ATTACK, score=with_mean, epsilon=1.25)
        assert values(assessment, WORST, "joint_accuracy") == {1.25: 1}
        assert {m.count for m in assessment.metrics if m.attack == WORST} == {3}

    def test_independent_model_has_one_accuracy(self):
        torch.manual_seed(0)
        split = samples(torch.rand(30).tolist())
        attacks = [plan("random", epsilons=[0.5], draws=4), shift([-0.4, 0.0, 0.2])]
        assessment = assessed(split, *attacks, batch_size=7)
        expected = values(assessment, WORST)[0.5]
        assert 0 < expected < 1
        for number in ("joint_accuracy", "single_accuracy"):
            assert values(assessment, WORST, number) == {0.5: expected}

    def test_mixed_batch_has_the_candidate_of_least_margin_for_each_sample(self):
        """The clean sample is one too; what is outside of the headline's ball is not."""
        split = samples([1.0, 1.0, 1.0, 1.0], [1, 1, 0, 1])
        attacks = [
            shift([-0.3, -0.1, 0.1, 0.4], [-0.2, -0.3, 0.3, 0.1]),
            shift([-0.1, -0.4, 0.2, 0.2], label="other"),
            shift([-0.9], label="farther", epsilons=[0.9]),
        ]
        assessment = assessed(split, *attacks)
        mixed = assessment.arrays[f"attacked x: {WORST}"][:, 0]
        assert mixed == pytest.approx([0.7, 0.6, 1.3, 1.0])
        assert assessment.arrays[f"attacked class: {WORST}"].tolist() == [1, 1, 1, 1]
        assert assessment.arrays["attacked labels"].tolist() == [1, 1, 0, 1]

    def test_mixture_is_predicted_again(self):
        """Two attacks tip one sample each, and both together tip the third as well."""
        split = samples([0.6, 0.6, 0.2])

        def score(x: Tensor) -> Tensor:
            return x[:, 0] + x[:, 0].mean() - 0.4

        attacks = [shift([-0.5, 0.0, 0.0]), shift([0.0, -0.5, 0.0], label="other")]
        assessment = assessed(split, *attacks, score=score)
        # One tipped: mean 0.3, and 0.2 + 0.3 − 0.4 > 0. Both: mean 0.4/3, and it is negative.
        assert values(assessment, WORST) == {0.5: pytest.approx(1 / 3)}
        assert values(assessment, WORST, "joint_accuracy") == {0.5: 0}


def test_on_a_node_task_all_nodes_are_one_batch_and_only_the_chosen_move():
    task = load_task("karate")
    split = attacked_split(task.test, 8, True)
    seen: list[Tensor] = []
    model = Toy(first)
    model.register_forward_pre_hook(lambda _, x: seen.append(x[0].clone()))
    about = Robustness([shift([-FAR])], 0.5)
    assessment = assess(Target(model, task, SEEDS), split, "test", about, len(split), SEEDS)
    assert {len(x) for x in seen} == {len(task.test)}
    hidden = split.y < 0
    assert all(torch.equal(x[hidden], task.test.x[hidden]) for x in seen)
    assert any(not torch.equal(x, task.test.x) for x in seen)
    assert {m.count for m in assessment.metrics} == {8}
    assert "nearest x" not in assessment.arrays


def test_nearest_training_samples_of_the_mixed_batch():
    assessment = assessed(samples([0.0, 0.6, 2.0]), shift([0.5, -0.4, -0.4]))
    nearest = assessment.arrays["nearest x"][:, :, 0]
    assert nearest.shape == (3, 3)
    assert nearest[:, 0] == pytest.approx([0.0, 0.0, 2.0])
    assert assessment.arrays["nearest class"].tolist() == [[1] * 3] * 3


def test_a_hundred_of_a_larger_batch_are_attacked_one_at_a_time():
    """Each costs a prediction of the batch: of all, they would cost its square."""
    torch.manual_seed(0)
    split = samples((0.5 + torch.rand(130)).tolist())
    attack = shift([-1.25], epsilons=[1.25])
    assessment = assessed(split, attack, score=with_mean, epsilon=1.25, batch_size=130)
    counts = {m.metric: m.count for m in assessment.metrics if m.attack == WORST}
    assert (counts["single_accuracy"], counts["joint_accuracy"]) == (100, 130)
