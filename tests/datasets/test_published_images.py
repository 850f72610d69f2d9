"""Fashion-MNIST, CIFAR and SVHN: their formats, and what all published images have in common."""

from pathlib import Path

import numpy as np
import pytest
import torch
from expect_refusal import refused
from make_cells import create
from make_data_files import (
    IDX_NAMES,
    archive,
    cifar_batch,
    idx,
    numbered,
    packed,
    plain,
    svhn_file,
    write,
    zipped,
)
from pydantic import ValidationError

from lapbench.datasets.base.data_files import DataFiles
from lapbench.datasets.base.task import Split
from lapbench.datasets.files.images import PublishedImages
from lapbench.discovery import load, names

IMAGES = [name for name in names("datasets") if issubclass(load("datasets", name), PublishedImages)]
PARTS = (numbered(300, 0, 3, 32), numbered(100, 300, 3, 32))


def fashion() -> tuple[DataFiles, dict[str, bytes]]:
    contents = []
    for images in (numbered(300, 0, 1, 28), numbered(100, 300, 1, 28)):
        contents += [idx(images[:, 0]), idx(np.arange(len(images)) % 10)]
    named = dict(zip(IDX_NAMES, contents, strict=True))
    files = {f"FashionMNIST/raw/{name}": content for name, content in named.items()}
    return zipped(named, "FashionMNIST/raw"), files


def cifar(
    folder: str, batches: list[str], key: str, classes: int
) -> tuple[DataFiles, dict[str, bytes]]:
    parts = [*np.split(PARTS[0], len(batches) - 1), PARTS[1]]
    files = {}
    for name, images in zip(batches, parts, strict=True):
        labels = (np.arange(300) % classes)[: len(images)].tolist()
        files[f"{folder}/{name}"] = cifar_batch(images, labels, key)
    return packed(archive(files), files), files


def svhn() -> tuple[DataFiles, dict[str, bytes]]:
    files = {}
    for name, images in zip(("train_32x32.mat", "test_32x32.mat"), PARTS, strict=True):
        labels = np.arange(len(images)) % 10
        files[name] = svhn_file(images, np.where(labels == 0, 10, labels).astype(np.uint8))
    downloads = [plain(name, content).downloads[0] for name, content in files.items()]
    return DataFiles("svhn", "free", tuple(downloads)), files


TEN = [f"data_batch_{number}" for number in range(1, 6)]
SMALL = {
    "fashion_mnist": fashion,
    "cifar10": lambda: cifar("cifar-10-batches-py", [*TEN, "test_batch"], "labels", 10),
    "cifar100": lambda: cifar("cifar-100-python", ["train", "test"], "fine_labels", 100),
    "svhn": svhn,
}


def numbers(split: Split) -> list[int]:
    """The numbers written into images."""
    first = (split.x[:, 0, 0, :2] * 255).round().int()
    return (first[:, 0] * 256 + first[:, 1]).tolist()


@pytest.mark.parametrize("name", SMALL)
def test_images_and_classes_are_read_in_their_order(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data_files, files = SMALL[name]()
    kind = load("datasets", name)
    monkeypatch.setenv("LAPBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(kind, "data_files", data_files)
    monkeypatch.setattr(kind, "training", 300)
    write(tmp_path, files)
    task = create("datasets", name, validation=0).load(np.random.default_rng(0))
    channels, side = (1, 28) if name == "fashion_mnist" else (3, 32)
    for split, first in ((task.train, 0), (task.test, 300)):
        assert split.x.shape[1:] == (channels, side, side)
        assert split.x.dtype == torch.float32
        assert split.x.is_contiguous()
        assert numbers(split) == list(range(first, first + len(split)))
        batch = 60 if name == "cifar10" else 300
        assert split.y.tolist() == [i % batch % kind.classes for i in range(len(split))]
        corner = 1 - torch.arange(channels) / 255
        torch.testing.assert_close(split.x[:, :, -1, -1], corner.expand(len(split), -1))
    assert (len(task.train), len(task.validation), len(task.test)) == (300, 0, 100)
    assert task.num_classes == kind.classes
    assert task.bounds == (0.0, 1.0)


def test_svhn_is_found_in_a_folder_of_its_own_too():
    places = [file.places for file in load("datasets", "svhn").data_files.files]
    assert places == [(name, f"svhn/{name}") for name in ("train_32x32.mat", "test_32x32.mat")]


@pytest.mark.parametrize("name", IMAGES)
class TestEveryPublishedImageSet:
    def test_names_hashes_mirrors_and_terms(self, name: str):
        data_files = load("datasets", name).data_files
        assert data_files.name == name
        assert data_files.terms
        for download in data_files.downloads:
            assert download.mirrors
            for hashed in (download.md5, *(file.md5 for file in download.files)):
                assert len(hashed) == 32
                assert set(hashed) <= set("0123456789abcdef")
            assert all(url.startswith(("https://", "http://")) for url in download.mirrors)
            assert download.is_archive or download.name in download.files[0].places

    def test_needs_a_training_image_of_every_class_and_no_validation(self, name: str):
        kind = load("datasets", name)
        with refused(ValidationError, "train_size", kind.classes - 1):
            kind(train_size=kind.classes - 1)
        with refused(ValidationError, f"0 of {kind.training} images"):
            kind(validation=kind.training)
        assert kind(validation=0, train_size=kind.training).train_rows == "drawn"
