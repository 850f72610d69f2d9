"""What every data set and backbone must do, over all that are discovered."""

import pytest
import torch
from table import BACKBONES, DATASETS, create, load_task, small_task

from lapbench.datasets._task import Split, Task
from lapbench.methods.backbones._protocol import Normalize
from lapbench.methods.softmax import Softmax


def images(channels: int, size: int) -> Task:
    """Random images of ten classes."""
    x = torch.rand(20, channels, size, size, generator=torch.Generator().manual_seed(0))
    split = Split(x, torch.arange(20) % 10)
    return Task("random", split, split, split, num_classes=10, bounds=(0.0, 1.0))


def samples(task: Task, split: Split) -> set[bytes] | set[int]:
    """The samples of a split, for comparison as sets; on a node task its nodes."""
    if task.nodes_only:
        return set((split.y >= 0).nonzero()[:, 0].tolist())
    return {sample.numpy().tobytes() for sample in split.x}


@pytest.mark.parametrize("name", DATASETS)
class TestEveryDataset:
    def test_splits_share_no_sample(self, name: str):
        task = load_task(name)
        train, validation, test = (
            samples(task, split) for split in (task.train, task.validation, task.test)
        )
        assert not train & test
        assert not validation & (train | test)

    def test_repetitions_share_the_test_set_alone(self, name: str):
        """And the graph; a node task may leave nodes in no split, other ones each time."""
        one, two, again = (load_task(name, seed) for seed in (0, 1, 0))
        for field in ("x", "y"):
            assert torch.equal(getattr(one.test, field), getattr(two.test, field))
            assert torch.equal(getattr(one.train, field), getattr(again.train, field))
        assert samples(one, one.validation) != samples(two, two.validation)
        if one.edge_index is not None and two.edge_index is not None:
            assert torch.equal(one.train.x, two.train.x)
            assert torch.equal(one.edge_index, two.edge_index)
        else:
            drawn, others = (
                samples(task, task.train) | samples(task, task.validation) for task in (one, two)
            )
            assert drawn == others

    def test_every_class_is_in_every_split_in_proportion(self, name: str):
        """On a node task in any: published splits train on as many nodes of every class."""
        task = load_task(name)
        for split in (task.train, task.validation, task.test):
            classes = split.y[split.y >= 0]
            shares = classes.bincount(minlength=task.num_classes) / len(classes)
            assert (shares > 0).all()
            if not task.nodes_only:
                assert (shares - task.train.y.bincount() / len(task.train)).abs().max() < 0.02

    def test_all_samples_have_a_class_or_all_splits_the_same_nodes(self, name: str):
        task = load_task(name)
        for split in (task.train, task.validation, task.test):
            if task.nodes_only:
                assert torch.equal(split.x, task.train.x)
            else:
                assert (split.y >= 0).all()

    def test_a_node_task_names_a_part_of_its_training_nodes_as_outer(self, name: str):
        task = load_task(name)
        assert task.nodes_only == (task.outer is not None)
        if task.outer is not None:
            outer = task.outer.tolist()
            assert outer == sorted(set(outer))
            assert set(outer) < samples(task, task.train)
            inner = task.train.y.clone()
            inner[task.outer] = -1
            for y in (inner, task.train.y[task.outer]):
                assert set(range(task.num_classes)) <= set(y.tolist())

    def test_inputs_are_float32_within_the_bounds(self, name: str):
        task = load_task(name)
        assert task.train.x.dtype == torch.float32
        if task.bounds:
            low, high = task.bounds
            assert (task.train.x.min(), task.train.x.max()) == (low, high)


def test_latent_classes_mix_as_documented():
    """The share of neighbours of another class is what makes the graph like a learned one."""
    for samples, expected in ((1100, 0.18), (2000, 0.164)):
        task = load_task("latent_classes", samples=samples)
        assert len(task.train) == samples
        assert len(task.validation) == len(task.test) == 200
        similarity = task.train.x @ task.train.x.T
        nearest = similarity.fill_diagonal_(-2).topk(25).indices
        others = (task.train.y[nearest] != task.train.y[:, None]).double().mean()
        assert others == pytest.approx(expected, abs=0.01)


def test_digits_are_split_as_documented():
    task = load_task("digits")
    assert (len(task.train), len(task.validation), len(task.test)) == (1077, 360, 360)
    assert task.input_shape == (1, 8, 8)
    assert task.num_classes == 10


def built(name: str) -> tuple[torch.nn.Module, Task]:
    """A backbone on images, or on the karate club where it takes nodes only; and that task."""
    backbone, task = create("backbones", name), images(1, 8)
    try:
        return backbone.build(task), task
    except ValueError:
        task = load_task("karate")
        return backbone.build(task), task


BUILT = {name: built(name) for name in BACKBONES}
TRAINED = [name for name, (backbone, _) in BUILT.items() if list(backbone.parameters())]
NODE_BACKBONES = {name for name, (_, task) in BUILT.items() if task.nodes_only}


@pytest.mark.parametrize("name", BACKBONES)
def test_features_have_the_stated_size(name: str):
    backbone, task = built(name)
    assert backbone(task.test.x).shape == (len(task.test), backbone.feature_size)


def test_identity_alone_has_nothing_to_train_and_leaves_its_inputs_as_they_are():
    assert set(BACKBONES) - set(TRAINED) == {"identity"}
    task = images(3, 8)
    features = create("backbones", "identity").build(task)(task.test.x)
    assert torch.equal(features, task.test.x.reshape(20, 192))


@pytest.mark.parametrize("name", TRAINED)
class TestEveryTrainedBackbone:
    def test_activations_are_distinct_and_not_inplace(self, name: str):
        backbone, _ = built(name)
        everywhere = backbone.named_modules(remove_duplicate=False)
        found = [module for _, module in everywhere if isinstance(module, torch.nn.ReLU)]
        assert found
        assert len(set(found)) == len(found)
        assert not any(activation.inplace for activation in found)

    def test_normalisation_is_the_first_layer_but_on_graphs(self, name: str):
        """Where data sets scale each node's features."""
        first = next(iter(built(name)[0].children()))
        assert isinstance(first, Normalize) == (name not in NODE_BACKBONES)


def test_normalisation_is_by_channel_and_spares_constants():
    x = torch.rand(50, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 7
    x[:, 2] = 5.0
    normalized = Normalize(x)(x)
    torch.testing.assert_close(normalized.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    deviation = normalized.std(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(deviation, torch.tensor([1.0, 1.0, 0.0]))


@pytest.mark.parametrize("size", [4, 8, 15, 16, 28, 32])
def test_small_cnn_adapts_to_the_image(size: int):
    task = images(3, size)
    assert create("backbones", "small_cnn").build(task)(task.test.x).shape == (20, 200)


def test_small_cnn_has_the_published_number_of_parameters():
    """312,202 on MNIST with the linear classifier, as in the WNLL paper's code (TRADES)."""
    task = images(1, 28)
    model = Softmax().build(create("backbones", "small_cnn").build(task), task)
    assert sum(parameter.numel() for parameter in model.parameters()) == 312_202


def test_small_cnn_refuses_vectors_with_the_remedy():
    with pytest.raises(ValueError, match=r"shape \(2,\) from two_moons.*use mlp"):
        create("backbones", "small_cnn").build(small_task())
