"""Label smoothness: how far the labels are from constant on the graphs of the layers."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from expect_refusal import refused
from oracle_graph import finite_differences, relative_error
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.backbones.identity import Identity
from lapbench.methods.base.backbone import Features
from lapbench.methods.base.model import Model
from lapbench.methods.base.smoothness import smoothness
from lapbench.methods.label_smoothness import LabelSmoothness
from lapbench.methods.softmax import Softmax

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 1])
FEATURES = torch.rand(9, 4, dtype=torch.float64, generator=GENERATOR)
IMAGES = torch.randn(9, 1, 4, 4, dtype=torch.float64, generator=GENERATOR)
PARTIAL = torch.tensor([0, -1, 2, 0, 1, -1, 0, 2, 1])
KNOWN = PARTIAL >= 0
NEIGHBORS = [3, "all"]

each_k = pytest.mark.parametrize("k", NEIGHBORS)
each_power = pytest.mark.parametrize("power", [1, 2, 3])


def cosine_graph(features: Tensor, k: Any) -> np.ndarray:
    """A: cosine similarity of pairs one of which is among the k most similar of the other."""
    rows = features.detach().flatten(1).numpy()
    nodes = len(rows)
    similarity = np.zeros((nodes, nodes))
    for i in range(nodes):
        for j in range(nodes):
            lengths = math.sqrt(rows[i] @ rows[i]) * math.sqrt(rows[j] @ rows[j])
            similarity[i, j] = rows[i] @ rows[j] / lengths if lengths > 0 else 0.0
    graph = np.zeros((nodes, nodes))
    for i in range(nodes):
        others = sorted((j for j in range(nodes) if j != i), key=lambda j: -similarity[i, j])
        for j in others if k == "all" else others[:k]:
            graph[i, j] = graph[j, i] = similarity[i, j]
    return graph


def double_sum(graph: np.ndarray, labels: Tensor) -> float:
    """Σ_c ½ Σ_ij A_ij (s_i − s_j)²."""
    total = 0.0
    for label in labels.unique().tolist():
        s = (labels == label).double().numpy()
        total += (graph * (s[:, None] - s) ** 2).sum() / 2
    return total


def dense_power(graph: np.ndarray, labels: Tensor, power: int) -> float:
    """tr(SᵀL^m S) by a dense matrix power."""
    laplacian = np.diag(graph.sum(axis=1)) - graph
    signals = np.eye(int(labels.max()) + 1)[labels.numpy()]
    return float(np.trace(signals.T @ np.linalg.matrix_power(laplacian, power) @ signals))


class TestSmoothness:
    @pytest.mark.parametrize("k", [*NEIGHBORS, 1])
    def test_is_a_double_sum_over_pairs(self, k: Any):
        sigma = smoothness(FEATURES, LABELS, power=1, k=k)
        assert sigma.shape == ()
        assert sigma.item() == pytest.approx(double_sum(cosine_graph(FEATURES, k), LABELS))

    @each_k
    @each_power
    def test_is_the_trace_of_a_dense_matrix_power_and_rows_of_unknown_class_are_no_nodes(
        self, power: Any, k: Any
    ):
        expected = dense_power(cosine_graph(FEATURES, k), LABELS, power)
        sigma = smoothness(FEATURES, LABELS, power=power, k=k).item()
        assert sigma == pytest.approx(expected, rel=1e-12)
        expected = dense_power(cosine_graph(FEATURES[KNOWN], k), PARTIAL[KNOWN], power)
        sigma = smoothness(FEATURES, PARTIAL, power=power, k=k).item()
        assert sigma == pytest.approx(expected, rel=1e-12)

    def test_neighbours_join_if_one_of_the_two_chose_the_other(self):
        """The last ray of a fan chooses the one before, which chooses another."""
        angles = torch.tensor([0.0, 0.1, 0.4], dtype=torch.float64)
        features = torch.stack([angles.cos(), angles.sin()], dim=1)
        sigma = smoothness(features, torch.tensor([0, 0, 1]), power=1, k=1).item()
        assert sigma == pytest.approx(2 * math.cos(0.3), rel=1e-12)

    @pytest.mark.parametrize("k", [8, 50])
    @pytest.mark.parametrize("power", [1, 3])
    def test_many_neighbours_are_all(self, power: Any, k: int):
        expected = smoothness(FEATURES, LABELS, power=power, k="all")
        torch.testing.assert_close(smoothness(FEATURES, LABELS, power=power, k=k), expected)

    @each_k
    @each_power
    def test_gradient_matches_finite_differences(self, power: Any, k: Any):
        def value(features: Tensor) -> Tensor:
            return smoothness(features, LABELS, power=power, k=k)

        at = FEATURES.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(value(at), at)
        assert relative_error(gradient, finite_differences(value, FEATURES)) < 1e-7

    @each_k
    @pytest.mark.parametrize("dead", [[0], [0, 1, 5], list(range(9))])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_dead_rows_are_similar_to_nobody(self, dead: list[int], dtype: torch.dtype, k: Any):
        features = FEATURES.to(dtype).clone()
        features[dead] = 0
        expected = dense_power(cosine_graph(features.double(), k), LABELS, 2)
        features.requires_grad_()
        sigma = smoothness(features, LABELS, power=2, k=k)
        assert sigma.item() == pytest.approx(expected, rel=1e-5, abs=1e-12)
        (gradient,) = torch.autograd.grad(sigma, features)
        assert gradient.isfinite().all()


def small_model(hidden_bias: float | None = None) -> Model:
    """A softmax model in float64 of three ReLUs, the first two after convolutions.

    With this seed σ rises for some classes where it falls for others.
    """
    torch.manual_seed(10)
    convolutions = (nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 1), nn.ReLU())
    backbone = Features(*convolutions, nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), feature_size=5)
    if hidden_bias is not None:
        nn.init.constant_(backbone[2].bias, hidden_bias)
    task = Task("toy", *[Split(IMAGES.float(), LABELS)] * 3, num_classes=3)
    return Softmax().build(backbone, task).double()


def sigma_by_hand(model: Model, labels: Tensor, k: Any, power: int, size: int) -> list[float]:
    """σ of what leaves each ReLU of the small model, for a batch of a size."""
    layers, known = list(model.backbone.children()), labels >= 0
    scale = (size / int(known.sum())) ** (power + 1)
    graphs = [cosine_graph(nn.Sequential(*layers[:end])(IMAGES)[known], k) for end in (2, 4, 7)]
    return [scale * dense_power(graph, labels[known], power) for graph in graphs]


class TestPenalty:
    @each_k
    @each_power
    @pytest.mark.parametrize("labels", [LABELS, PARTIAL], ids=["known", "partial"])
    @pytest.mark.parametrize("size", [100, 50])
    def test_scales_the_batch_and_takes_absolute_values_after_the_sum_over_classes(
        self, labels: Tensor, power: Any, k: Any, size: int
    ):
        """Rows of unknown class are left out before the batch is scaled, not after."""
        model = small_model()
        first, second, third = sigma_by_hand(model, labels, k, power, size)
        term = LabelSmoothness(power=power, k=k, reference_batch_size=size)
        expected = 0.001**power * (abs(second - first) + abs(third - second)) / 2
        penalty = term.penalty(model, IMAGES, labels, 0.0)
        assert penalty.shape == ()
        assert penalty.item() == pytest.approx(expected, rel=1e-9)
        assert LabelSmoothness().power == 2  # As in the paper.

    @pytest.mark.parametrize(("power", "k"), [(1, "all"), (2, 3), (3, "all")])
    def test_gradient_matches_finite_differences(self, power: Any, k: Any):
        model, term = small_model(), LabelSmoothness(power=power, k=k)
        parameters = list(model.backbone.parameters())[:2]
        gradient = torch.autograd.grad(term.penalty(model, IMAGES, PARTIAL, 0.0), parameters)

        def value(vector: Tensor) -> Tensor:
            vector_to_parameters(vector, parameters)
            return term.penalty(model, IMAGES, PARTIAL, 0.0).detach()

        at = parameters_to_vector(parameters).detach()
        expected = finite_differences(value, at, h=1e-5)
        assert relative_error(parameters_to_vector(gradient), expected) < 1e-7

    @each_power
    def test_gradient_of_a_dead_layer_is_finite(self, power: Any):
        model = small_model(hidden_bias=-100.0)
        penalty = LabelSmoothness(power=power).penalty(model, IMAGES, LABELS, 0.0)
        penalty.backward()
        assert penalty.item() > 0
        for name, parameter in model.backbone.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name

    @each_k
    @pytest.mark.parametrize("known", [0, 1, 2])
    def test_vanishes_without_pairs_and_few_samples_are_all_neighbours(self, known: int, k: Any):
        model, labels = small_model(), torch.where(torch.arange(9) < known, LABELS, -1)
        penalty = LabelSmoothness(k=k).penalty(model, IMAGES, labels, 0.0)
        every = LabelSmoothness(k="all").penalty(model, IMAGES, labels, 0.0)
        torch.testing.assert_close(penalty, every)
        assert (penalty.item() == pytest.approx(0, abs=1e-12)) == (known < 2)


def test_is_skipped_without_two_relus_to_compare():
    task = Task("toy", *[Split(torch.rand(4, 2), torch.tensor([0, 1, 0, 1]))] * 3, num_classes=2)
    single = Features(nn.Linear(2, 3), nn.ReLU(), feature_size=3)
    for backbone in (Identity().build(task), single):
        reason = LabelSmoothness().skip(Softmax().build(backbone, task))
        assert reason is not None
        assert len(reason) > 10
    assert LabelSmoothness().skip(small_model()) is None


@pytest.mark.parametrize("wrong", [{"power": 4}, {"k": 0}, {"k": "none"}, {"gamma": -1.0}])
def test_impossible_hyper_parameters_are_refused(wrong: dict[str, Any]):
    with refused(ValidationError, *wrong):
        LabelSmoothness(**wrong)
