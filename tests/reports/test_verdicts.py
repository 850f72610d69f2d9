"""What is said of each method is what its checks support."""

from typing import Any

import pandas as pd
import pytest
from make_frames import CLEAN, JOINT, NOISE, SINGLE, SOFTMAX, Number, frame

from lapbench.reports.checks import CHECKS, NEEDED
from lapbench.reports.robustness import robustness
from lapbench.reports.verdicts import verdicts
from lapbench.results.tidy import FLAG_COLUMNS


def flag(name: str, verdict: str, evidence: str = "", repetition: int = 0, **names: str) -> Any:
    return {
        **{"task": "digits", "backbone": "mlp", "method": "softmax", "training": "natural"},
        **names,
        **{"repetition": repetition, "name": name, "verdict": verdict, "evidence": evidence},
    }


def text(*flags: Any, method: str = "softmax", **changes: dict[Number, list[float]]) -> str:
    """What is said of a method, the flags being those of all."""
    board = robustness(frame(**(changes or {"softmax": SOFTMAX})))
    (paragraph,) = (
        line
        for line in verdicts(board, pd.DataFrame(flags, columns=FLAG_COLUMNS))
        if line.startswith(f"{method} on digits with mlp, natural training: ")
    )
    return paragraph.partition("training: ")[2]


WHITE = "ε = 0.1: 40.0% by gradients, 30.0% by transfer"


class TestVerdicts:
    def test_numbers_come_first(self):
        assert text().startswith(
            "right on 90.0 % of 128 samples, on 30.0 % in the worst case over all attacks at "
            "ε = 0.1."
        )

    def test_without_a_worst_case_nothing_is_said_of_it(self):
        assert text(softmax={CLEAN: [0.9], NOISE: [0.8]}) == "no worst case was measured."

    def test_passed_checks_make_it_a_fair_estimate(self):
        paragraph = text(flag("white_box_wins", "pass"), flag("gradients_exist", "does not apply"))
        assert "No check found its gradient hidden" in paragraph
        assert "fair estimate" in paragraph
        assert "an upper bound for all" in paragraph
        assert "Not measured" not in paragraph

    @pytest.mark.parametrize("name", NEEDED)
    def test_without_a_needed_check_it_is_only_an_upper_bound(self, name: str):
        made = [flag(other, "pass") for other in NEEDED if other != name]
        paragraph = text(*made, flag(name, "not measured"), flag("gradients_exist", "pass"))
        assert "The worst case is an upper bound: too few checks" in paragraph
        assert "fair estimate" not in paragraph

    @pytest.mark.parametrize(
        ("made", "count", "first", "hides"),
        [(["fail", "pass", "pass"], 1, 0, False), (["pass", "fail", "fail"], 2, 1, True)],
    )
    def test_failures_are_counted_over_repetitions_and_half_of_them_decide(
        self, made: list[str], count: int, first: int, hides: bool
    ):
        values = {number: 3 * list(value) for number, value in SOFTMAX.items()}
        flags = [
            flag("white_box_wins", verdict, f"evidence {repetition}", repetition)
            for repetition, verdict in enumerate(made)
        ]
        paragraph = text(*flags, softmax=values)
        assert f"({count} of 3 repetitions; first: evidence {first})" in paragraph
        assert ("hides" in paragraph) == hides
        assert ("Single repetitions failed a check" in paragraph) != hides
        assert "fair estimate" not in paragraph
        assert paragraph.startswith("right on 90.0 ± 0.0 % of 128 samples")

    @pytest.mark.parametrize("verdict", ["not measured", "does not apply"])
    def test_without_a_check_that_was_made_nothing_is_claimed(self, verdict: str):
        for paragraph in (text(), text(flag("white_box_wins", verdict))):
            assert "hidden" not in paragraph
            assert "estimate" not in paragraph

    @pytest.mark.parametrize("name", CHECKS)
    def test_a_failed_check_takes_back_what_depends_on_it(self, name: str):
        paragraph = text(flag("monotone_in_steps", "pass"), flag(name, "fail", f"{WHITE}; more"))
        said = {
            "gradient": ["Its gradient hides something", "no evidence of robustness"],
            "budget": ["was not found hidden", "the accuracy under plain PGD overstates it"],
        }[CHECKS[name].doubts]
        assert all(each in paragraph for each in said)
        fails = CHECKS[name].fails
        assert f"{fails[0].upper()}{fails[1:]} (1 of 1 repetitions; first: {WHITE})." in paragraph
        assert "; more" not in paragraph
        assert "fair estimate" not in paragraph

    def test_hidden_gradient_outweighs_the_budget_and_both_are_listed(self):
        paragraph = text(
            flag("steps_add_nothing", "fail", "a"), flag("gradients_exist", "fail", "b")
        )
        assert "Its gradient hides something" in paragraph
        assert "No check found" not in paragraph
        assert (
            "PGD of more steps, or APGD, broke more than PGD (1 of 1 repetitions; first: a). "
            in paragraph
        )
        assert "More than 1 % of the samples had an exactly zero gradient (1 of 1" in paragraph

    def test_what_was_not_measured_is_named_once(self):
        flags = [
            flag(name, "not measured", repetition=repetition)
            for repetition in range(2)
            for name in ("white_box_wins", "unbounded_breaks")
        ]
        paragraph = text(*flags, flag("gradients_exist", "pass"))
        assert paragraph.endswith(
            f"Not measured: {CHECKS['white_box_wins'].asks}; {CHECKS['unbounded_breaks'].asks}."
        )

    def test_flags_of_another_row_are_not_its_own(self):
        others = [
            flag("white_box_wins", "fail", method="gll"),
            flag("white_box_wins", "fail", training="pgd"),
            flag("white_box_wins", "fail", task="mnist"),
            flag("white_box_wins", "fail", backbone="gnn"),
        ]
        assert text(*others) == text()
        paragraph = text(*others, method="gll", softmax=SOFTMAX, gll=SOFTMAX)
        assert "Its gradient hides something" in paragraph

    @pytest.mark.parametrize(
        ("joint", "single", "said"),
        [(0.31, 0.315, False), (0.30, 0.33, True), (0.40, 0.35, True), (0.40, 0.40, True)],
    )
    def test_batch_is_mentioned_where_it_matters(self, joint: float, single: float, said: bool):
        paragraph = text(softmax={**SOFTMAX, JOINT: [joint], SINGLE: [single]})
        assert ("depend on the batch" in paragraph) == said
        if said:
            assert f"put together {100 * joint:.1f} % stay right" in paragraph
            assert f"{100 * single:.1f} % where each of these" in paragraph
