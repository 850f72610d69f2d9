"""Label smoothness: how far the labels are from constant on the graphs of the layers."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from oracle_graph import finite_differences, relative_error
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.backbones.identity import Identity
from lapbench.methods.base.backbone import Features
from lapbench.methods.base.model import Model
from lapbench.methods.base.smoothness import smoothness, smoothness_by_depth
from lapbench.methods.label_smoothness import LabelSmoothness
from lapbench.methods.softmax import Softmax

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 1])
FEATURES = torch.rand(9, 4, dtype=torch.float64, generator=GENERATOR)
IMAGES = torch.randn(9, 1, 4, 4, dtype=torch.float64, generator=GENERATOR)
PARTIAL = torch.tensor([0, -1, 2, 0, 1, -1, 0, 2, 1])
KNOWN = PARTIAL >= 0
NEIGHBORS = [3, "all"]


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
        s = [float(other == label) for other in labels.tolist()]
        for i in range(len(s)):
            for j in range(len(s)):
                total += graph[i, j] * (s[i] - s[j]) ** 2 / 2
    return total


def dense_power(graph: np.ndarray, labels: Tensor, power: int) -> float:
    """tr(SᵀL^m S) by a dense matrix power."""
    laplacian = np.diag(graph.sum(axis=1)) - graph
    signals = np.eye(int(labels.max()) + 1)[labels.numpy()]
    return float(np.trace(signals.T @ np.linalg.matrix_power(laplacian, power) @ signals))


class TestSmoothness:
    @pytest.mark.parametrize("k", [*NEIGHBORS, 1])
    def test_is_a_double_sum_over_pairs(self, k: Any):
        expected = double_sum(cosine_graph(FEATURES, k), LABELS)
        found = smoothness(FEATURES, LABELS, power=1, k=k)
        assert found.shape == ()
        assert found.item() == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("k", NEIGHBORS)
    @pytest.mark.parametrize("power", [1, 2, 3])
    def test_is_the_trace_of_a_dense_matrix_power(self, power: Any, k: Any):
        expected = dense_power(cosine_graph(FEATURES, k), LABELS, power)
        found = smoothness(FEATURES, LABELS, power=power, k=k).item()
        assert found == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("power", [1, 2, 3])
    def test_of_two_points_of_two_classes_by_hand(self, power: Any):
        """L = cos·[[1, −1], [−1, 1]], whose power m has the trace (2·cos)^m."""
        features = torch.tensor([[1.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
        found = smoothness(features, torch.tensor([4, 1]), power=power, k="all").item()
        assert found == pytest.approx(1.2**power, rel=1e-12)

    def test_neighbours_join_if_one_of_the_two_chose_the_other(self):
        """On a fan of rays the last chooses the one before, which chooses another."""
        angles = torch.tensor([0.0, 0.1, 0.4], dtype=torch.float64)
        features = torch.stack([angles.cos(), angles.sin()], dim=1)
        found = smoothness(features, torch.tensor([0, 0, 1]), power=1, k=1).item()
        assert found == pytest.approx(2 * math.cos(0.3), rel=1e-12)

    @pytest.mark.parametrize("k", [8, 50])
    @pytest.mark.parametrize("power", [1, 3])
    def test_many_neighbours_are_all(self, power: Any, k: int):
        expected = smoothness(FEATURES, LABELS, power=power, k="all")
        torch.testing.assert_close(smoothness(FEATURES, LABELS, power=power, k=k), expected)

    @pytest.mark.parametrize("k", NEIGHBORS)
    def test_rows_of_unknown_class_are_no_nodes(self, k: Any):
        found = smoothness(FEATURES, PARTIAL, power=2, k=k)
        expected = dense_power(cosine_graph(FEATURES[KNOWN], k), PARTIAL[KNOWN], 2)
        assert found.item() == pytest.approx(expected, rel=1e-12)

    def test_vanishes_for_one_class(self):
        found = smoothness(FEATURES, torch.ones_like(LABELS), power=2, k="all").item()
        assert found == pytest.approx(0, abs=1e-12)

    def test_takes_images(self):
        images = IMAGES.clamp_min(0)
        expected = dense_power(cosine_graph(images, 3), LABELS, 2)
        assert smoothness(images, LABELS, power=2, k=3).item() == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("k", NEIGHBORS)
    @pytest.mark.parametrize("power", [1, 2, 3])
    def test_gradient_matches_finite_differences(self, power: Any, k: Any):
        def value(features: Tensor) -> Tensor:
            return smoothness(features, LABELS, power=power, k=k)

        at = FEATURES.clone().requires_grad_()
        (found,) = torch.autograd.grad(value(at), at)
        assert relative_error(found, finite_differences(value, FEATURES)) < 1e-7

    @pytest.mark.parametrize("k", NEIGHBORS)
    @pytest.mark.parametrize("dead", [[0], [0, 1, 5], list(range(9))])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_dead_rows_are_similar_to_nobody(self, dead: list[int], dtype: torch.dtype, k: Any):
        features = FEATURES.to(dtype).clone()
        features[dead] = 0
        expected = dense_power(cosine_graph(features.double(), k), LABELS, 2)
        features.requires_grad_()
        found = smoothness(features, LABELS, power=2, k=k)
        assert found.item() == pytest.approx(expected, rel=1e-5, abs=1e-12)
        (gradient,) = torch.autograd.grad(found, features)
        assert gradient.isfinite().all()


def linear(matrix: list[list[float]]) -> nn.Linear:
    """A linear layer without bias that multiplies by a matrix."""
    layer = nn.Linear(len(matrix[0]), len(matrix), bias=False)
    layer.weight = nn.Parameter(torch.tensor(matrix, dtype=torch.float32))
    return layer


def model_by_hand() -> tuple[Model, Tensor, Tensor]:
    """Two samples of two classes, whose cosines at the three ReLUs are 1/√2, 2/√5 and 0."""
    x, y = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 1])
    backbone = Features(
        linear([[1, 0], [0, 1]]),
        nn.ReLU(),
        linear([[1, 1], [0, 1]]),
        nn.ReLU(),
        linear([[1, -2], [0, 1]]),
        nn.ReLU(),
        feature_size=2,
    )
    task = Task("toy", *[Split(x, y)] * 3, num_classes=2)
    return Softmax().build(backbone, task).double(), x.double(), y


def small_model(hidden_bias: float | None = None) -> Model:
    """A softmax model in float64 of three ReLUs, the first two after convolutions."""
    torch.manual_seed(3)
    backbone = Features(
        nn.Conv2d(1, 3, 3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 5),
        nn.ReLU(),
        feature_size=5,
    )
    if hidden_bias is not None:
        nn.init.constant_(backbone[2].bias, hidden_bias)
    task = Task("toy", *[Split(IMAGES.float(), LABELS)] * 3, num_classes=3)
    return Softmax().build(backbone, task).double()


def activations(model: Model) -> list[Tensor]:
    """What leaves the ReLUs of the small model."""
    layers = list(model.backbone.children())
    return [nn.Sequential(*layers[:end])(IMAGES) for end in (2, 4, 7)]


class TestByDepth:
    @pytest.mark.parametrize("k", NEIGHBORS)
    @pytest.mark.parametrize("power", [1, 2, 3])
    def test_is_that_of_each_relu_scaled_to_a_batch_of_the_reference_size(self, power: Any, k: Any):
        model = small_model()
        graphs = [cosine_graph(features, k) for features in activations(model)]
        scale = (100 / 9) ** (power + 1)
        expected = [scale * dense_power(graph, LABELS, power) for graph in graphs]
        found = smoothness_by_depth(model, IMAGES, LABELS, power, k, 100)
        assert found.tolist() == pytest.approx(expected, rel=1e-10)
        half = smoothness_by_depth(model, IMAGES, LABELS, power, k, 50)
        torch.testing.assert_close(half * 2 ** (power + 1), found)

    def test_the_batch_size_is_that_of_the_graph(self):
        """Rows of unknown class are left out before the batch is scaled, not after."""
        model = small_model()
        found = smoothness_by_depth(model, IMAGES, PARTIAL, 2, "all", 100)
        expected = smoothness_by_depth(model, IMAGES[KNOWN], PARTIAL[KNOWN], 2, "all", 100)
        torch.testing.assert_close(found, expected)

    def test_hardly_depends_on_the_batch_size(self):
        """Each row four times: σ grows like the batch to the m + 1, but for pairs of twins."""
        model = small_model()
        images, labels = IMAGES.repeat(40, 1, 1, 1), LABELS.repeat(40)
        twice = smoothness_by_depth(
            model, images.repeat(2, 1, 1, 1), labels.repeat(2), 2, "all", 100
        )
        once = smoothness_by_depth(model, images, labels, 2, "all", 100)
        torch.testing.assert_close(twice, once, rtol=0.02, atol=0)


class TestPenalty:
    @pytest.mark.parametrize("power", [1, 2, 3])
    def test_is_the_mean_gap_by_hand(self, power: Any):
        """σ = (2·cos)^m first rises and then falls, and both changes count."""
        model, x, y = model_by_hand()
        first, second, third = (
            (2 * cos) ** power for cos in (1 / math.sqrt(2), 2 / math.sqrt(5), 0)
        )
        gaps = (second - first) + (second - third)
        expected = 0.1**power * (100 / 2) ** (power + 1) * gaps / 2
        found = LabelSmoothness(gamma=0.1, power=power).penalty(model, x, y, 0.3)
        assert found.shape == ()
        assert found.item() == pytest.approx(expected, rel=1e-10)

    def test_default_power_is_that_of_the_paper(self):
        model, x, y = model_by_hand()
        found = LabelSmoothness(reference_batch_size=2).penalty(model, x, y, 0.0).item()
        assert found == pytest.approx(0.001**2 * ((3.2 - 2) + 3.2) / 2, rel=1e-10)

    @pytest.mark.parametrize("k", NEIGHBORS)
    @pytest.mark.parametrize("power", [1, 2, 3])
    def test_gradient_matches_finite_differences(self, power: Any, k: Any):
        model, term = small_model(), LabelSmoothness(power=power, k=k)
        parameters = list(model.backbone.parameters())[:4]
        gradient = torch.autograd.grad(term.penalty(model, IMAGES, PARTIAL, 0.0), parameters)

        def value(vector: Tensor) -> Tensor:
            vector_to_parameters(vector, parameters)
            return term.penalty(model, IMAGES, PARTIAL, 0.0).detach()

        at = parameters_to_vector(parameters).detach()
        expected = finite_differences(value, at, h=1e-5)
        assert relative_error(parameters_to_vector(gradient), expected) < 1e-7

    @pytest.mark.parametrize("power", [1, 2, 3])
    def test_gradient_of_a_dead_layer_is_finite(self, power: Any):
        model = small_model(hidden_bias=-100.0)
        penalty = LabelSmoothness(power=power).penalty(model, IMAGES, LABELS, 0.0)
        penalty.backward()
        assert penalty.item() > 0
        for name, parameter in model.backbone.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name

    @pytest.mark.parametrize("k", NEIGHBORS)
    @pytest.mark.parametrize("known", [0, 1])
    def test_vanishes_without_pairs_of_known_class(self, known: int, k: Any):
        labels = torch.full_like(LABELS, -1)
        labels[:known] = 2
        penalty = LabelSmoothness(k=k).penalty(small_model(), IMAGES, labels, 0.0)
        assert penalty.item() == pytest.approx(0, abs=1e-12)

    def test_fewer_samples_than_neighbours_are_all_neighbours(self):
        labels = torch.where(torch.arange(9) < 2, LABELS, -1)
        every, three = (LabelSmoothness(k=k) for k in ("all", 3))
        model = small_model()
        expected = every.penalty(model, IMAGES, labels, 0.0)
        torch.testing.assert_close(three.penalty(model, IMAGES, labels, 0.0), expected)


def test_is_skipped_without_two_relus_to_compare():
    x = torch.rand(4, 2)
    task = Task("toy", *[Split(x, torch.tensor([0, 1, 0, 1]))] * 3, num_classes=2)
    single = Features(nn.Linear(2, 3), nn.ReLU(), feature_size=3)
    for backbone in (Identity().build(task), single):
        reason = LabelSmoothness().skip(Softmax().build(backbone, task))
        assert reason is not None
        assert len(reason) > 10
    assert LabelSmoothness().skip(small_model()) is None


@pytest.mark.parametrize("wrong", [{"power": 4}, {"k": 0}, {"k": "none"}, {"gamma": -1.0}])
def test_impossible_hyper_parameters_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LabelSmoothness(**wrong)
