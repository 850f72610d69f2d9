"""Your own data: which arrays and image folders are accepted, what they become, what is refused."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from expect_refusal import refused
from make_cells import create
from PIL import Image

import lapbench
from lapbench.datasets.base.task import Task
from lapbench.datasets.files.files import DataError, MissingDataError

N, M = 40, 20
PIXELS = np.random.default_rng(0).integers(0, 256, (N + M, 3, 6, 5)).astype(np.uint8)
LABELS = np.arange(N + M) % 4
VECTORS = np.random.default_rng(0).random((N + M, 7))


def save(folder: Path, x: Any = PIXELS, y: Any = LABELS, rows: int = N, **others: Any) -> str:
    """Write a file with the first samples for training."""
    arrays = {"x_train": x[:rows], "y_train": y[:rows], "x_test": x[rows:], "y_test": y[rows:]}
    np.savez(folder / "own.npz", **(arrays | others))
    return str(folder / "own.npz")


def loaded(name: str, path: str | Path, seed: int = 0, **options: int) -> Task:
    dataset = create("datasets", name, path=str(path), **options)
    task: Task = dataset.load(np.random.default_rng(seed))
    return task


class TestArrays:
    @pytest.mark.parametrize(
        ("layout", "shape"),
        [
            (lambda x: x, (3, 6, 5)),
            (lambda x: x.transpose(0, 2, 3, 1), (3, 6, 5)),
            (lambda x: x[:, :1], (1, 6, 5)),
            (lambda x: x[:, 0, :, :, None], (1, 6, 5)),
            (lambda x: x[:, 0], (1, 6, 5)),
            (lambda x: x[:, :, :, :3], (3, 6, 3)),
        ],
    )
    @pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float64])
    def test_of_images_become_channels_first_in_0_1(
        self,
        tmp_path: Path,
        layout: Callable[[np.ndarray], np.ndarray],
        shape: tuple[int, ...],
        kind: type,
    ):
        images = PIXELS if kind is np.uint8 else (PIXELS / 255).astype(kind)
        task = loaded("npz", save(tmp_path, layout(images)))
        expected = torch.from_numpy(PIXELS[:, : shape[0], :, : shape[2]]).float() / 255
        for split, rows in ((task.train, slice(N)), (task.test, slice(N, None))):
            tolerance = 1e-3 if kind is np.float16 else 1e-6
            torch.testing.assert_close(split.x, expected[rows], atol=tolerance, rtol=0)
            assert split.y.tolist() == LABELS[rows].tolist()
        assert (task.name, task.num_classes, task.bounds) == ("npz", 4, (0.0, 1.0))
        assert task.input_shape == shape

    def test_of_other_floats_stay_as_they_are_without_bounds(self, tmp_path: Path):
        task = loaded("npz", save(tmp_path, VECTORS))
        torch.testing.assert_close(task.train.x, torch.from_numpy(VECTORS[:N]).float())
        assert task.bounds is None
        images = PIXELS / 255.0
        images[N] -= 0.5  # in the test set alone
        assert loaded("npz", save(tmp_path, images)).bounds is None

    def test_validation_and_training_samples_are_drawn_in_proportion(self, tmp_path: Path):
        path = save(tmp_path, np.arange(2.0 * (N + M)).reshape(-1, 2))
        one, two, again = (loaded("npz", path, seed, validation=8) for seed in (0, 1, 0))
        assert one.train.x.equal(again.train.x)
        assert not one.validation.x.equal(two.validation.x)
        assert one.test.x.equal(two.test.x)
        small = loaded("npz", path, validation=8, train_size=12)
        assert small.validation.x.equal(one.validation.x)
        for split, count in ((small.train, 3), (small.validation, 2)):
            assert split.y.bincount().tolist() == [count] * 4

    @pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64])
    def test_of_labels_may_be_any_integers(self, tmp_path: Path, kind: type):
        task = loaded("npz", save(tmp_path, y=LABELS.astype(kind)))
        assert task.train.y.tolist() == LABELS[:N].tolist()

    def test_more_classes_than_a_byte_has_are_told_apart(self, tmp_path: Path):
        path = save(tmp_path, np.zeros((605, 2)), np.arange(605) % 300, rows=600)
        task = loaded("npz", path, validation=300)
        assert task.num_classes == 300
        assert task.validation.y.unique().tolist() == list(range(300))


INFINITE = PIXELS / 255.0
INFINITE[7, 1, 2, 3] = np.inf
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "vectors of bytes": ({"x": PIXELS[:, 0, 0]}, ["x_train", "(40, 5) of uint8"]),
    "integers": ({"x": PIXELS.astype(int)}, ["x_train", "(40, 3, 6, 5) of int64"]),
    "two channels": ({"x": PIXELS[:, :2]}, ["x_train", "(40, 2, 6, 5) of uint8", "1 or 3"]),
    "five dimensions": ({"x": PIXELS[..., None]}, ["x_train", "(40, 3, 6, 5, 1) of uint8"]),
    "a number": ({"x_test": np.array(3.0)}, ["x_test", "() of float64"]),
    "nothing": ({"x_train": PIXELS[:0]}, ["x_train", "(0, 3, 6, 5) of uint8", "is 0"]),
    "no pixels": ({"x_train": PIXELS[:, :, :0]}, ["x_train", "(60, 3, 0, 5) of uint8", "is 0"]),
    "not of float32": ({"x": PIXELS * 1e39}, ["x_train", "not finite", "row"]),
    "one class": ({"y": LABELS * 0}, ["y_train", "1 class"]),
    "not finite": ({"x": INFINITE}, ["x_train", "not finite", "row 7"]),
    "other shapes": ({"x_test": PIXELS[N:, :, 1:]}, ["x_test", "(20, 3, 5, 5)", "x_train"]),
    "other types": ({"x_test": PIXELS[N:] / 255}, ["x_test", "float64", "x_train", "uint8"]),
    "columns": ({"y": LABELS[:, None]}, ["y_train", "(40, 1) of int64"]),
    "too few": ({"y_test": LABELS[:3]}, ["y_test", "(3,) of int64", "(20,)"]),
    "real labels": ({"y": LABELS / 1}, ["y_train", "(40,) of float64"]),
    "from one": ({"y": LABELS + 1}, ["y_train", "label 4", "row 3"]),
    "negative": ({"y": LABELS - 1}, ["y_train", "label -1", "row 0"]),
    "gap": ({"y": LABELS * 2}, ["y_train", "label 4", "row 2", "from 0"]),
    "new class": ({"y_test": np.arange(M)}, ["y_test", "label 4", "row 4"]),
    "objects": ({"y_test": np.array([{}] * M)}, ["allow_pickle"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arrays_are_named_with_what_is_accepted(tmp_path: Path, case: str):
    changes, named = REFUSED[case]
    path = save(tmp_path, **changes)
    with refused(DataError, path, *named):
        loaded("npz", path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"validation": N}, ["validation = ", "40 samples"]),
        ({"validation": 10, "train_size": N - 9}, ["validation = ", "40 samples"]),
        ({"train_size": 2}, ["4 class(es)", "train_size is 2"]),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    tmp_path: Path, options: dict[str, int], named: list[str]
):
    with refused(DataError, *named):
        loaded("npz", save(tmp_path), **options)


def test_absent_and_unreadable_arrays_are_named(tmp_path: Path):
    path = tmp_path / "own.npz"
    np.savez(path, x_train=PIXELS)
    with refused(DataError, "y_train"):
        loaded("npz", path)
    with ZipFile(path, "a") as file:
        for name in ("y_train", "x_test", "y_test"):
            file.writestr(f"{name}.npy", b"no array")
    with refused(DataError, "y_train"):
        loaded("npz", path)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"PK\x03\x04" + bytes(99), pickle.dumps({"x_train": 1}), PIXELS]
)
def test_files_that_are_not_npz_are_refused_unopened(tmp_path: Path, content: bytes | np.ndarray):
    with (tmp_path / "own.npz").open("wb") as file:
        file.write(content) if isinstance(content, bytes) else np.save(file, content)
    with refused(DataError, "own.npz"):
        loaded("npz", tmp_path / "own.npz")


@pytest.mark.parametrize("name", ["npz", "image_folder"])
def test_an_absent_path_or_home_is_named(tmp_path: Path, name: str):
    with refused(MissingDataError, f"{tmp_path / 'own'}"):
        loaded(name, tmp_path / "own")
    with refused(DataError, "~nobody-of-this-name/x"):
        loaded(name, "~nobody-of-this-name/x")


def draw(folder: Path, mode: str = "RGB", size: tuple[int, int] = (5, 6), count: int = 3) -> None:
    """Write images of two classes, the number of each in its first pixel."""
    for part in ("train", "test"):
        for label, name in enumerate(("Zebra", "apple")):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                image = Image.new(mode, size)
                pixel = 100 * label + number
                image.putpixel((0, 0), pixel if mode == "L" else (pixel, 0, 255))
                image.save(folder / part / name / f"{number}.png")


class TestImageFolder:
    @pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
    def test_becomes_images_of_the_folders_classes_in_order(
        self, tmp_path: Path, mode: str, channels: int
    ):
        draw(tmp_path, mode)
        task = loaded("image_folder", tmp_path)
        assert task.input_shape == (channels, 6, 5)
        assert (task.name, task.num_classes, task.bounds) == ("image_folder", 2, (0.0, 1.0))
        for split in (task.train, task.test):
            first = (split.x[:, 0, 0, 0] * 255).round().int().tolist()
            assert first == [0, 1, 2, 100, 101, 102]
            assert split.y.tolist() == [0, 0, 0, 1, 1, 1]
            assert channels == 1 or (split.x[:, 2, 0, 0] == 1).all()

    def test_accepts_grey_and_jpeg_and_leaves_out_other_and_hidden_files(self, tmp_path: Path):
        draw(tmp_path)
        inside = tmp_path / "train" / "apple"
        Image.new("L", (5, 6), 51).save(inside / "1.png")
        for name in ("a.jpg", "b.JPEG"):
            Image.new("RGB", (5, 6), (200, 200, 200)).save(inside / name)
        (tmp_path / "train" / ".cache").mkdir()
        for name in (".hidden.png", "notes.txt"):
            (inside / name).write_text("no image")
            (tmp_path / "train" / name).write_text("no class")
        x = loaded("image_folder", tmp_path).train.x
        assert len(x) == 8
        assert torch.equal(x[4], torch.full((3, 6, 5), 0.2))
        assert torch.allclose(x[-2:], torch.tensor(200 / 255), atol=2 / 255)

    def test_the_first_image_of_another_size_is_named(self, tmp_path: Path):
        draw(tmp_path)
        for number in (1, 2):
            Image.new("RGB", (6, 5)).save(tmp_path / "train" / "apple" / f"{number}.png")
        with refused(DataError, "apple/1.png", "6 × 5"):
            loaded("image_folder", tmp_path)

    @pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n" + bytes(40), "RGBA"])
    def test_damaged_images_and_other_modes_are_named(self, tmp_path: Path, content: bytes | str):
        draw(tmp_path)
        path = tmp_path / "test" / "apple" / "1.png"
        if isinstance(content, str):
            Image.new(content, (5, 6)).save(path)
        else:
            path.write_bytes(content)
        with refused(DataError, "apple/1.png", content if isinstance(content, str) else "PNG"):
            loaded("image_folder", tmp_path)

    def test_classes_without_images_or_counterpart_are_named(self, tmp_path: Path):
        for part in ("train", "test"):
            (tmp_path / part).mkdir()
        with refused(DataError, "train"):
            loaded("image_folder", tmp_path)
        draw(tmp_path)
        for part, named in (("test", "Zebra, apple, pear"), ("train", "train/pear")):
            (tmp_path / part / "pear").mkdir()
            with refused(DataError, named):
                loaded("image_folder", tmp_path)


def test_a_suite_names_the_path_and_a_changed_file_is_another_cell(
    tmp_path: Path, tiny_suite: Path
):
    text = tiny_suite.read_text().replace('"two_moons"', '"npz"').replace('"gll"', "")
    text = text.replace("epochs = 3", "epochs = 0")
    path = save(tmp_path, VECTORS)
    tiny_suite.write_text(text.replace("two_moons.samples = 160", f"npz.path = {path!r}"))
    changed_x = {"x": VECTORS + 1}
    changed_labels = {"x": VECTORS, "y": np.roll(LABELS, 1)}
    records: set[str] = set()
    for number, arrays in enumerate(({"x": VECTORS}, changed_x, changed_labels), start=1):
        save(tmp_path, **arrays)
        report = lapbench.run(tiny_suite, results=tmp_path / "results", seeds=1)
        assert report.unfinished == []
        before, records = records, {f.name for f in (tmp_path / "results/records").glob("*.json")}
        assert before < records
        assert len(records) == number
