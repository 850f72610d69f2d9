"""What every data set and backbone must do, over all that are discovered."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from make_cells import BACKBONES, DATASETS, IMAGE_BACKBONES, built, create, images, load_task
from PIL import Image

from lapbench import discovery
from lapbench.datasets.base.task import Split, Task
from lapbench.datasets.files.files import find
from lapbench.datasets.files.images import PublishedImages
from lapbench.methods.base.backbone import Normalize

Load = Callable[..., Task]


def samples(task: Task, split: Split) -> set[bytes] | set[int]:
    """The samples of a split, for comparison as sets; on a node task its nodes."""
    if task.nodes_only:
        return set((split.y >= 0).nonzero()[:, 0].tolist())
    return {sample.numpy().tobytes() for sample in split.x}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Options of the data sets that read a user's own files: random images of two classes."""
    folder = tmp_path_factory.mktemp("own")
    images = np.random.default_rng(0).integers(0, 256, (2, 60, 4, 4)).astype(np.uint8)
    images[:, :, 0] = np.array([0, 255] * 2)
    y = np.arange(60) % 2
    np.savez(folder / "own.npz", x_train=images[0], y_train=y, x_test=images[1], y_test=y)
    for part, pixels in zip(("train", "test"), images, strict=True):
        for number, (image, label) in enumerate(zip(pixels, y, strict=True)):
            place = folder / part / f"{label}" / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place)
    return {
        "npz": {"path": str(folder / "own.npz"), "validation": 20},
        "image_folder": {"path": str(folder), "validation": 20},
    }


@pytest.fixture
def load(own: dict[str, dict[str, Any]]) -> Load:
    """What loads the task of a data set in a repetition."""
    return lambda name, seed=0: load_task(name, seed, **own.get(name, {}))


def is_present(name: str) -> bool:
    """Whether a data set needs no files, or has them."""
    data_files = getattr(discovery.load("datasets", name), "data_files", None)
    return data_files is None or all(map(find, data_files.files))


@pytest.mark.parametrize("name", list(filter(is_present, DATASETS)))
class TestEveryDataset:
    """Whose files are there."""

    def test_splits_share_no_sample(self, name: str, load: Load):
        task = load(name)
        train, validation, test = (
            samples(task, split) for split in (task.train, task.validation, task.test)
        )
        # Some images of CIFAR are there twice.
        twice = 0.1 if issubclass(discovery.load("datasets", name), PublishedImages) else 0
        assert len(train & test) <= twice * len(test)
        assert len(validation & (train | test)) <= twice * len(validation)

    def test_repetitions_share_the_test_set_alone(self, name: str, load: Load):
        """And the graph; a node task may leave nodes in no split, other ones each time."""
        one, two, again = (load(name, seed) for seed in (0, 1, 0))
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

    def test_every_class_is_in_every_split_in_proportion(self, name: str, load: Load):
        """On a node task in any: published splits train on as many nodes of every class."""
        task = load(name)
        for split in (task.train, task.validation, task.test):
            assert torch.equal(split.x, task.train.x) if task.nodes_only else (split.y >= 0).all()
            classes = split.y[split.y >= 0]
            shares = classes.bincount(minlength=task.num_classes) / len(classes)
            assert (shares > 0).all()
            if not task.nodes_only:
                assert (shares - task.train.y.bincount() / len(task.train)).abs().max() < 0.02

    def test_a_node_task_names_a_part_of_its_training_nodes_as_outer(self, name: str, load: Load):
        task = load(name)
        assert task.nodes_only == (task.outer is not None)
        if task.outer is not None:
            outer = task.outer.tolist()
            assert outer == sorted(set(outer))
            assert set(outer) < samples(task, task.train)
            inner = task.train.y.clone()
            inner[task.outer] = -1
            for y in (inner, task.train.y[task.outer]):
                assert set(range(task.num_classes)) <= set(y.tolist())

    def test_inputs_are_float32_within_the_bounds(self, name: str, load: Load):
        task = load(name)
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


TRAINED = [name for name in BACKBONES if list(built(name)[0].parameters())]


@pytest.mark.parametrize("name", BACKBONES)
def test_features_have_the_stated_size_and_are_the_same_for_equal_seeds(name: str):
    (backbone, task), (other, _) = built(name), built(name)
    features = backbone(task.test.x)
    assert features.shape == (len(task.test), backbone.feature_size)
    assert features.isfinite().all()
    assert torch.equal(features, other(task.test.x))


def test_identity_alone_has_nothing_to_train_and_leaves_its_inputs_as_they_are():
    assert set(BACKBONES) - set(TRAINED) == {"identity"}
    task = images(3, 8)
    features = create("backbones", "identity").build(task)(task.test.x)
    assert torch.equal(features, task.test.x.reshape(20, 192))


@pytest.mark.parametrize("name", TRAINED)
class TestEveryTrainedBackbone:
    def test_has_distinct_activations_not_inplace_and_normalises_all_but_graphs(self, name: str):
        """As data sets of graphs scale each node's features."""
        backbone, _ = built(name)
        everywhere = backbone.named_modules(remove_duplicate=False)
        relus = [module for _, module in everywhere if isinstance(module, torch.nn.ReLU)]
        assert relus
        assert len(set(relus)) == len(relus)
        assert not any(relu.inplace for relu in relus)
        first = next(iter(backbone.children()))
        assert isinstance(first, Normalize) == (name in IMAGE_BACKBONES)


def test_normalisation_is_by_channel_and_spares_constants():
    x = torch.rand(50, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 7
    x[:, 2] = 5.0
    normalized = Normalize(x)(x)
    torch.testing.assert_close(normalized.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    deviation = normalized.std(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(deviation, torch.tensor([1.0, 1.0, 0.0]))
