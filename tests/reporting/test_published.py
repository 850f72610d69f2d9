"""Published numbers are those that the papers print."""

from dataclasses import fields

import pytest
from make_frames import BILEVEL, GLL, MANIFOLD, WNLL

from lapbench import discovery
from lapbench.reporting.correspondence import complete
from lapbench.reporting.published import entries

TABLES = {
    GLL: ["3", "4"],
    WNLL: [str(number) for number in range(1, 12)],
    MANIFOLD: ["1", "2"],
    BILEVEL: ["1"],
}
# Read once more in the papers, apart from the file. WNLL's tables 1, 3, 4, 5 and 11 have errors.
PRINTED = {
    f"{GLL}, table 3, GLL-50": 91.32,
    f"{GLL}, table 3, GLL, ResNet-50": 96.54,
    f"{GLL}, table 4, GL Natural, IFGSM": [96.44, 61.81, 54.41],
    f"{GLL}, table 4, MLP Robust, CW": [97.41, 81.00, 75.94],
    f"{WNLL}, table 1, ResNet110, 1K": 100 - 42.94,
    f"{WNLL}, table 1, ResNet20, 50K (He et al.)": 100 - 8.75,
    f"{WNLL}, table 2, WNLL, SVHN": 56.17,
    f"{WNLL}, table 3, ResNet18, Whole, WNLL": 100 - 4.65,
    f"{WNLL}, table 3, PreActResNet34, 10000, Vanilla": 100 - 8.52,
    f"{WNLL}, table 3, VGG19, Whole, SVM": 100 - 7.99,
    f"{WNLL}, table 4, ResNet110, WNLL DNNs": 100 - 23.74,
    f"{WNLL}, table 5, PreActResNet34, Vanilla DNNs": 100 - 3.66,
    f"{WNLL}, table 6, Small-CNN-WNLL, A_rob (IFGSM100)": 96.90,
    f"{WNLL}, table 7, Small-CNN-WNLL, oracle Small-CNN, A_rob (C&W)": 98.14,
    f"{WNLL}, table 8, WideResNet34-WNLL, A_rob (IFGSM20)": 63.03,
    f"{WNLL}, table 9, WideResNet34-WNLL, oracle WideResNet34, A_rob (C&W)": 81.17,
    f"{WNLL}, table 10, ResNet56-WNLL (60, 30), A_nat": 77.92,
    f"{WNLL}, table 11, ResNet20-WNLL, 10K (Labeled)": 100 - 9.01,
    f"{MANIFOLD}, table 1, Manifold Regularization (small), Verified": 21.04,
    f"{MANIFOLD}, table 1, Hamming regularization only, Clean": 90.24,
    f"{MANIFOLD}, table 2, Manifold Regularization, ℓ∞, ε = 8/255": 36.90,
    f"{BILEVEL}, table 1, GNN, BO+G2G, test": 82.0,
    f"{BILEVEL}, table 1, Laplacian, BO+Reg, V_out": 83.2,
}
FOREIGN: dict[str, set[str]] = {
    "datasets": set(),
    "backbones": {"other"},
    "methods": {"other"},
    "attacks": {
        *("autoattack_plus", "cw_of_another_model", "fgsm_of_another_model"),
        *("ifgsm_of_another_model", "wasserstein"),
    },
}
"""Names in the file that lapbench does not have."""


def test_has_every_table():
    result = {entry.source.partition(", table ")[::2] for entry in entries()}
    tables = {(paper, rest.partition(",")[0]) for paper, rest in result}
    assert tables == {(paper, table) for paper in TABLES for table in TABLES[paper]}


def test_has_the_numbers_that_the_papers_print():
    assert len(entries()) > 300
    for source, printed in PRINTED.items():
        expected = printed if isinstance(printed, list) else [printed]
        result = [100 * entry.value for entry in entries() if entry.source == source]
        assert result == pytest.approx(expected, abs=1e-7), source


def test_numbers_that_two_tables_have_are_equal():
    """Table 1 repeats table 3 of the WNLL paper, table 3 of the GLL paper quotes it."""
    value = {entry.source: entry.value for entry in entries()}
    for depth in (20, 32, 44, 56, 110):
        for short, long in (("50K", "Whole"), ("10K", "10000"), ("1K", "1000")):
            first = value[f"{WNLL}, table 1, ResNet{depth}, {short}"]
            assert first == value[f"{WNLL}, table 3, ResNet{depth}, {long}, Vanilla"]
    for depth in (18, 50):
        quoted = value[f"{GLL}, table 3, WNLL-DNN, ResNet-{depth}"]
        assert quoted == value[f"{WNLL}, table 3, ResNet{depth}, Whole, WNLL"]


@pytest.mark.parametrize("kind", FOREIGN)
def test_names_and_options_are_those_of_lapbench_or_known_to_be_others(kind: str):
    foreign, own = set(), discovery.names(kind)
    for entry in entries():
        for name, options in getattr(entry, kind.removesuffix("s")).items():
            if name in own:
                complete(kind, name, options)
                known = {field.name for field in fields(discovery.load(kind, name))}
                assert set(options) <= known, entry
            else:
                foreign.add(name)
    assert foreign == FOREIGN[kind]


def test_every_number_is_a_share_and_every_level_has_units():
    for entry in entries():
        assert 0 <= entry.value <= 1
        for options in entry.attack.values():
            assert options["units"] in ("input", "normalised"), entry


def test_every_number_has_its_budget_but_where_nothing_is_trained():
    without = {entry.source for entry in entries() if not entry.budget}
    raw = {f"{WNLL}, table 2, WNLL, {name}" for name in ("CIFAR10", "MNIST", "SVHN")}
    assert without == {*raw, f"{BILEVEL}, table 1, GNN, GAM, test"}
