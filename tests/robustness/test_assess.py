"""What an attack says is not believed: the harness clips, predicts again, and counts."""

import math

import numpy as np
import pytest
import torch
from make_cells import load_task, small_cell
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

from lapbench.attacks.base.attack import CLEAN
from lapbench.datasets.base.task import Split
from lapbench.robustness.assess import Assessment, AttackRun, attacked_split

POINTS = samples([1.0, 0.4, 0.2, 2.0, 0.3, -1.0])


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch)


def kept(assessment: Assessment, label: str) -> list[float]:
    """First coordinates as an attack left them."""
    x: list[float] = assessment.arrays[f"attacked x: {label}"][:, 0].tolist()
    return x


class TestClipping:
    def test_what_leaves_the_ball_is_moved_into_it_before_it_counts(self):
        assessment = assessed(POINTS, shift([-FAR]))
        assert kept(assessment, "shift") == pytest.approx([0.5, -0.1, -0.3, 1.5, -0.2, -1.5])
        assert values(assessment, "shift") == {0.5: pytest.approx(2 / 6)}

    def test_what_leaves_the_bounds_is_moved_into_them(self):
        assessment = assessed(
            samples([0.4, 0.7]), shift([-FAR]), score=lambda x: x[:, 0] + 0.05, bounds=(0, 1)
        )
        assert kept(assessment, "shift") == pytest.approx([0, 0.2])
        assert values(assessment, "shift") == {0.5: 1}

    def test_what_has_no_ball_is_moved_into_the_bounds(self):
        assessment = assessed(
            samples([0.4, 0.7]), shift([0.0]), plan("anywhere", shifts=[[-FAR, FAR]]), bounds=(0, 1)
        )
        assert kept(assessment, "anywhere") == [0, 1]

    def test_l2_ball_is_that_of_the_whole_sample(self):
        assessment = assessed(
            POINTS, shift([0.0]), shift([-FAR], label="far", norm="l2", epsilons=[0.3])
        )
        assert kept(assessment, "far") == pytest.approx([0.7, 0.1, -0.1, 1.7, 0, -1.3], abs=1e-6)

    def test_normalised_units_are_standard_deviations_of_the_training_inputs(self):
        assessment = assessed(POINTS, shift([0.0]), shift([-FAR], label="far", units="normalised"))
        clean = POINTS.x[:, 0].double()
        expected = clean - 0.5 * float(clean.numpy().std())
        assert kept(assessment, "far") == pytest.approx(expected.tolist(), abs=1e-6)

    @pytest.mark.parametrize("name", ["shift", "anywhere"])
    def test_what_has_no_class_stays(self, name: str):
        """It counts in the mean of the batch, which would else tip the first."""
        split = samples([0.2, 4.0, 4.0], [1, -1, -1])
        model = Toy(with_mean)
        seen: list[list[float]] = []
        model.register_forward_pre_hook(lambda _, x: seen.append(x[0][:, 0].tolist()))
        options = {"epsilons": [0.5]} if name == "shift" else {}
        attack = plan(name, "far", shifts=[[-FAR]], **options)
        assessment = assessed(split, shift([0.0]), attack, model=model)
        assert {tuple(row[1:]) for row in seen} == {(4.0, 4.0)}
        assert {m.count for m in assessment.metrics} == {1}


class TestFailures:
    @pytest.mark.parametrize(
        ("mistake", "reason"),
        [
            ("error", "RuntimeError: no luck"),
            ("error when asked", "RuntimeError: no luck"),
            ("shape", "candidate: received (1, 2)"),
            ("nan", "log_probabilities: "),
            ("infinite prediction", "log_probabilities: "),
            ("nothing", "ValueError: "),
            ("fewer in the last batch", "ValueError: "),
            ("rows of the prediction", "ValueError: "),
            ("rows of a number", "ValueError: "),
        ],
    )
    def test_attack_that_breaks_is_a_failed_run_and_the_others_stand(
        self, mistake: str, reason: str
    ):
        split = samples([1.0, 0.4, 0.2])
        attacks = [shift([-FAR]), plan("random", epsilons=[0.5])]
        broken = plan("broken", mistake=mistake)
        assessment = assessed(split, attacks[0], broken, attacks[1], batch_size=2)
        alone = assessed(split, *attacks, batch_size=2)
        run = assessment.runs[1]
        assert (run.label, run.status) == ("broken", "failed")
        assert reason in str(run.reason)
        assert "Traceback" in str(run.traceback)
        assert assessment.metrics == alone.metrics
        assert [assessment.runs[0], assessment.runs[2]] == alone.runs
        assert set(assessment.seconds) == {"shift", "broken", "random"}

    def test_attack_that_writes_into_its_batch_harms_no_other(self):
        broken = plan("broken", mistake="changed batch")
        split = samples([1.0, 0.4, 0.2])
        assessment = assessed(split, broken, shift([-FAR]))
        assert split.x[:, 0].tolist() == pytest.approx([1.0, 0.4, 0.2])
        assert values(assessment, "shift") == {0.5: pytest.approx(1 / 3)}
        assert values(assessment, "broken") == {0: 0}

    def test_attack_that_does_not_apply_is_skipped_with_its_reason(self):
        assessment = assessed(POINTS, shift([-FAR]), plan("inapplicable"))
        assert assessment.runs[1] == AttackRun("inapplicable", "skipped", "it is beneath it")
        assert values(assessment, "inapplicable") == {}


class TestNumbers:
    def test_right_is_right_in_every_restart(self):
        assessment = assessed(POINTS, shift([-0.5, 0.0], [0.0, -0.5], [0.1, 0.1]))
        assert values(assessment, "shift") == {0.5: pytest.approx(2 / 6)}

    def test_chance_is_the_mean_over_the_draws(self):
        draws = [[-0.5, 0.0], [0.0, -0.5], [-0.5, -0.5], [0.0, 0.0]]
        assessment = assessed(POINTS, shift([0.0]), plan("chance", shifts=draws))
        # Right, in turn: the first, fourth and sixth never tip; 0.2 and 0.3, and 0.4, each in two.
        assert values(assessment, "chance") == {2.0: pytest.approx((1 + 0.5 * 3 + 1) / 6)}

    def test_distances_by_hand(self):
        """Of all, of those that are wrong in the end; a restart counts like the other."""
        assessment = assessed(samples([1.0, 0.2]), shift([-0.3], [-0.1, 0.2]))
        assert values(assessment, "shift", "distance")[0.5] == pytest.approx(
            (0.3 + 0.3 + 0.1 + 0.2) / 4
        )
        squares = (0.09 + 0.09 + 0.01 + 0.04) / 4
        assert values(assessment, "shift", "squared_distance")[0.5] == pytest.approx(
            squares, rel=1e-5
        )
        assert values(assessment, "shift", "fooling_distance")[0.5] == pytest.approx(0.3)

    def test_without_any_wrong_there_is_no_distance_of_them(self):
        assessment = assessed(samples([1.0]), shift([-0.3]))
        assert "fooling_distance" not in {m.metric for m in assessment.metrics}

    def test_numbers_of_an_attack_are_means_over_known_samples_without_nan(self):
        split = samples([1.0, 1.0, 1.0, 1.0], [1, 1, -1, 1])
        attack = plan("anywhere", shifts=[[-0.1, 0.3, 5.0, math.nan]])
        assert assessed(split, shift([0.0]), attack).runs[1].status == "failed"  # x is NaN
        attack = plan("anywhere", shifts=[[-0.1, 0.3, 5.0, 0.5]])
        assessment = assessed(split, shift([0.0]), attack)
        assert values(assessment, "anywhere", "size")[2.0] == pytest.approx(0.3)

    def test_unattacked_samples_and_gradients_that_are_zero(self):
        """Below −0.5 the score is constant, and its gradient 0."""
        assessment = assessed(POINTS, shift([0.0]), score=lambda x: x[:, 0].clamp_min(-0.5))
        assert values(assessment, CLEAN) == {0: pytest.approx(5 / 6)}
        assert values(assessment, CLEAN, "zero_own_gradient") == {0: pytest.approx(1 / 6)}
        assert not values(assessment, CLEAN, "zero_exact_gradient")

    def test_model_that_can_not_be_derived_has_zero_gradients(self):
        assessment = assessed(POINTS, shift([0.0]), score=lambda x: x[:, 0].detach())
        assert values(assessment, CLEAN, "zero_own_gradient") == {0: 1}

    def test_levels_and_counts_are_those_of_the_attack(self):
        assessment = assessed(
            POINTS, shift([0.0], epsilons=[0.1, 0.5], norm="l2"), shift([0.0], label="b")
        )
        rows = {
            (m.attack, m.norm, m.parameter, m.level, m.steps, m.count, m.split)
            for m in assessment.metrics
            if m.attack == "shift" and m.metric != "headline_accuracy"
        }
        assert rows == {("shift", "l2", "epsilon", level, 1, 6, "test") for level in (0.1, 0.5)}

    def test_what_an_attack_spent_is_counted(self):
        assessment = assessed(
            POINTS, shift([0.1], [0.2]), plan("pgd", epsilons=[0.5], steps=[3]), batch_size=2
        )
        assert (assessment.runs[0].queries, assessment.runs[0].gradients) == (6, 0)
        assert (assessment.runs[1].queries, assessment.runs[1].gradients) == (3, 9)


class TestBatches:
    @pytest.mark.parametrize("attack", ["pgd", "apgd-ce", "square", "deepfool", "shift"])
    def test_no_sample_ever_leaves_its_batch(self, attack: str):
        options = {
            "pgd": {"epsilons": [0.5], "steps": [3]},
            "apgd-ce": {"epsilons": [0.5], "steps": 5},
            "square": {"epsilons": [0.5], "queries": 5},
            "shift": {"epsilons": [0.5], "shifts": [[-0.5]]},
        }
        model = Toy(with_mean)
        assessed(
            POINTS,
            shift([0.0]),
            plan(attack, "own", **options.get(attack, {})),
            model=model,
            batch_size=4,
        )
        assert set(model.sizes) == {4, 2}

    def test_model_is_left_in_evaluation_mode_without_gradients(self):
        model = Toy(first)
        assessed(POINTS, plan("pgd", epsilons=[0.5], steps=[3]), model=model.train())
        assert not any(module.training for module in model.modules())
        assert not any(p.requires_grad or p.grad is not None for p in model.parameters())


def test_numbers_do_not_depend_on_the_other_attacks():
    chosen = [
        plan("random", epsilons=[0.3, 0.5], draws=2),
        plan("pgd", epsilons=[0.5], steps=[3], restarts=2),
        plan("random", "again", epsilons=[0.5], draws=3),
    ]
    split = samples(torch.rand(40).sub(0.2).tolist())

    def numbers(*attacks: int) -> dict[str, set[object]]:
        assessment = assessed(split, *(chosen[i] for i in attacks), score=with_mean, batch_size=15)
        return {
            run.label: {run, *(m for m in assessment.metrics if m.attack == run.label)}
            for run in assessment.runs
        }

    every = numbers(0, 1, 2)
    assert numbers(2, 1, 0) == every
    for i, (label, expected) in enumerate(every.items()):
        assert numbers(i) == {label: expected}


def test_random_numbers_are_those_of_the_kind_of_attack_and_the_batch():
    """So that two entries of one kind, such as PGD by another gradient, are compared in pairs."""
    drawn = assessed(POINTS, plan("random", epsilons=[0.5]), batch_size=3)
    same = assessed(POINTS, plan("random", epsilons=[0.5]), batch_size=3)
    other = assessed(POINTS, plan("random", "other", epsilons=[0.5]), batch_size=3)
    assert kept(drawn, "random") == kept(same, "random") == kept(other, "other")
    change = np.array(kept(drawn, "random")) - POINTS.x[:, 0].numpy()
    assert change[:3] != pytest.approx(change[3:])


class TestAttackedSplit:
    def test_samples_are_the_same_in_every_repetition_and_for_every_method(self):
        chosen = []
        for repetition in range(2):
            test = load_task("digits", repetition).test
            chosen.append(attacked_split(test, 50, False))
        assert torch.equal(chosen[0].x, chosen[1].x)
        assert torch.equal(chosen[0].y, chosen[1].y)

    def test_samples_are_in_the_proportions_of_the_classes_and_in_order(self):
        y = torch.tensor([0] * 60 + [1] * 30 + [2] * 10 + [-1] * 50)
        split = Split(torch.arange(150.0)[:, None], y)
        attacked = attacked_split(split, 20, False)
        assert attacked.y.bincount().tolist() == [12, 6, 2]
        assert attacked.x[:, 0].diff().min() > 0
        assert torch.equal(y[attacked.x[:, 0].long()], attacked.y)

    @pytest.mark.parametrize("samples", [100, 101, 1000])
    def test_all_known_samples_are_taken_where_there_are_no_more(self, samples: int):
        y = torch.tensor([0] * 60 + [1] * 40 + [-1] * 50)
        attacked = attacked_split(Split(torch.arange(150.0)[:, None], y), samples, False)
        assert attacked.x[:, 0].tolist() == list(range(100))

    @pytest.mark.parametrize("samples", [1, 99])
    def test_any_number_of_samples_is_possible(self, samples: int):
        y = torch.tensor([0] * 60 + [1] * 40)
        assert (
            len(attacked_split(Split(torch.arange(100.0)[:, None], y), samples, False)) == samples
        )

    def test_on_a_node_task_all_nodes_stay_and_only_the_chosen_have_a_class(self):
        test = load_task("karate").test
        attacked = attacked_split(test, 8, True)
        assert torch.equal(attacked.x, test.x)
        rows = attacked.y >= 0
        assert int(rows.sum()) == 8
        assert torch.equal(attacked.y[rows], test.y[rows])


def test_streams_of_attacks_are_those_of_the_cell():
    assert small_cell("softmax").seeds.integer("attack pgd") == small_cell("gll").seeds.integer(
        "attack pgd"
    )
    assert SEEDS.integer("attack pgd", 0) != SEEDS.integer("attack pgd", 1)
