"""Your own data: which arrays and image folders are taken, what comes of them, what is refused."""

import pickle
import re
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


def save(path: Path, x: Any, y: Any = LABELS, **others: Any) -> str:
    """Write a file with the first 40 samples for training."""
    arrays = {"x_train": x[:N], "y_train": y[:N], "x_test": x[N:], "y_test": y[N:], **others}
    np.savez(path / "own.npz", **arrays)
    return str(path / "own.npz")


def loaded(name: str, path: str, seed: int = 0, **options: int) -> Task:
    task: Task = create("datasets", name, path=path, **options).load(np.random.default_rng(seed))
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
        vectors = np.random.default_rng(0).random((N + M, 7))
        task = loaded("npz", save(tmp_path, vectors))
        torch.testing.assert_close(task.train.x, torch.from_numpy(vectors[:N]).float())
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
        task = loaded("npz", save(tmp_path, PIXELS, LABELS.astype(kind)))
        assert task.train.y.tolist() == LABELS[:N].tolist()

    def test_more_classes_than_a_byte_has_are_told_apart(self, tmp_path: Path):
        x, y = np.zeros((600, 2)), np.arange(600) % 300
        path = tmp_path / "own.npz"
        np.savez(path, x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
        task = loaded("npz", str(path), validation=300)
        assert task.num_classes == 300
        assert task.validation.y.unique().tolist() == list(range(300))


INFINITE = PIXELS / 255.0
INFINITE[7, 1, 2, 3] = np.inf
REFUSED = {
    "vectors of bytes": ({"x": PIXELS[:, 0, 0]}, r"x_train is \(40, 5\) of uint8"),
    "integers": ({"x": PIXELS.astype(int)}, r"x_train is \(40, 3, 6, 5\) of int64"),
    "two channels": ({"x": PIXELS[:, :2]}, r"x_train is \(40, 2, 6, 5\) of uint8; .*1 or 3 chan"),
    "five dimensions": ({"x": PIXELS[..., None]}, r"x_train is \(40, 3, 6, 5, 1\) of uint8"),
    "a number": ({"x_test": np.array(3.0)}, r"x_test is \(\) of float64"),
    "nothing": ({"x_train": PIXELS[:0]}, r"x_train is \(0, 3, 6, 5\) of uint8; .* sizes is 0"),
    "no pixels": ({"x_train": PIXELS[:, :, :0]}, r"x_train is \(60, 3, 0, 5\) of uint8; .* is 0"),
    "not of float32": ({"x": PIXELS * 1e39}, "x_train has a value that is not finite in row"),
    "one class": ({"y": LABELS * 0}, r"y_train has 1 class\(es\)"),
    "not finite": ({"x": INFINITE}, "x_train has a value that is not finite in row 7"),
    "other shapes": ({"x_test": PIXELS[N:, :, 1:]}, r"x_test is \(20, 3, 5, 5\) of uint8, x_train"),
    "other types": ({"x_test": PIXELS[N:] / 255}, "x_test is .* of float64, x_train .* of uint8"),
    "columns": ({"y": LABELS[:, None]}, r"y_train is \(40, 1\) of int64"),
    "too few": ({"y_test": LABELS[:3]}, r"y_test is \(3,\) of int64; .* integers \(20,\)"),
    "real labels": ({"y": LABELS / 1}, r"y_train is \(40,\) of float64"),
    "from one": ({"y": LABELS + 1}, r"y_train has the label 4 in row 3"),
    "negative": ({"y": LABELS - 1}, r"y_train has the label -1 in row 0"),
    "gap": ({"y": LABELS * 2}, "y_train has the label 4 in row 2.*number the classes from 0"),
    "new class": ({"y_test": np.arange(M)}, r"y_test has the label 4 in row 4"),
    "objects": ({"y_test": np.array([{}] * M)}, "cannot be read .*allow_pickle"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arrays_are_named_with_what_is_accepted(tmp_path: Path, case: str):
    changes, message = REFUSED[case]
    path = save(tmp_path, **{"x": PIXELS, **changes})
    with pytest.raises(DataError, match=f"^{re.escape(path)}.*{message}"):
        loaded("npz", path)


def test_sizes_that_the_file_does_not_have_are_refused(tmp_path: Path):
    path = save(tmp_path, PIXELS)
    for options in ({"validation": N}, {"validation": 10, "train_size": N - 9}):
        with refused(DataError, "validation = ", "40 samples"):
            loaded("npz", path, **options)


def test_an_absent_array_is_named(tmp_path: Path):
    np.savez(tmp_path / "own.npz", x_train=PIXELS)
    with refused(DataError, "y_train"):
        loaded("npz", str(tmp_path / "own.npz"))


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"PK\x03\x04" + bytes(99), pickle.dumps({"x_train": 1})]
)
def test_other_files_are_refused_unopened(tmp_path: Path, content: bytes):
    (tmp_path / "own.npz").write_bytes(content)
    with refused(DataError, "own.npz"):
        loaded("npz", str(tmp_path / "own.npz"))


def test_a_single_array_is_refused(tmp_path: Path):
    np.save(tmp_path / "own.npy", PIXELS)
    with refused(DataError, "own.npy"):
        loaded("npz", str(tmp_path / "own.npy"))


@pytest.mark.parametrize("name", ["npz", "image_folder"])
def test_a_path_that_is_not_there_is_named(tmp_path: Path, name: str):
    with pytest.raises(
        MissingDataError, match=f"{re.escape(str(tmp_path / 'own'))}.* is not there"
    ):
        loaded(name, str(tmp_path / "own"))


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
        task = loaded("image_folder", str(tmp_path))
        assert task.input_shape == (channels, 6, 5)
        assert (task.name, task.num_classes, task.bounds) == ("image_folder", 2, (0.0, 1.0))
        for split in (task.train, task.test):
            first = (split.x[:, 0, 0, 0] * 255).round().int().tolist()
            assert first == [0, 1, 2, 100, 101, 102]
            assert split.y.tolist() == [0, 0, 0, 1, 1, 1]
            assert channels == 1 or (split.x[:, 2, 0, 0] == 1).all()

    def test_grey_images_among_coloured_ones_are_repeated(self, tmp_path: Path):
        draw(tmp_path)
        Image.new("L", (5, 6), 51).save(tmp_path / "train" / "apple" / "1.png")
        task = loaded("image_folder", str(tmp_path))
        assert torch.equal(task.train.x[4], torch.full((3, 6, 5), 0.2))

    def test_hidden_and_other_files_are_left_out(self, tmp_path: Path):
        draw(tmp_path)
        (tmp_path / "train" / ".cache").mkdir()
        for name in (".hidden.png", "notes.txt"):
            (tmp_path / "train" / "apple" / name).write_text("no image")
            (tmp_path / "train" / name).write_text("no class")
        assert len(loaded("image_folder", str(tmp_path)).train) == 6

    def test_jpeg_is_read_by_any_spelling(self, tmp_path: Path):
        draw(tmp_path)
        for name in ("a.jpg", "b.JPEG"):
            Image.new("RGB", (5, 6), (200, 200, 200)).save(tmp_path / "train" / "apple" / name)
        task = loaded("image_folder", str(tmp_path))
        assert torch.allclose(task.train.x[-2:], torch.tensor(200 / 255), atol=2 / 255)

    def test_the_first_image_of_another_size_is_named(self, tmp_path: Path):
        draw(tmp_path)
        for number in (1, 2):
            Image.new("RGB", (6, 5)).save(tmp_path / "train" / "apple" / f"{number}.png")
        match = r"apple/1\.png has 6 × 5 pixels"
        with pytest.raises(DataError, match=match):
            loaded("image_folder", str(tmp_path))

    def test_other_modes_are_refused(self, tmp_path: Path):
        draw(tmp_path)
        Image.new("RGBA", (5, 6)).save(tmp_path / "test" / "apple" / "1.png")
        with refused(DataError, "apple/1.png", "RGBA"):
            loaded("image_folder", str(tmp_path))

    @pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n" + bytes(40)])
    def test_damaged_images_are_named(self, tmp_path: Path, content: bytes):
        draw(tmp_path)
        (tmp_path / "train" / "apple" / "1.png").write_bytes(content)
        with refused(DataError, "apple/1.png"):
            loaded("image_folder", str(tmp_path))

    def test_classes_without_images_or_counterpart_are_named(self, tmp_path: Path):
        draw(tmp_path)
        (tmp_path / "test" / "pear").mkdir()
        with refused(DataError, "Zebra, apple, pear"):
            loaded("image_folder", str(tmp_path))
        (tmp_path / "train" / "pear").mkdir()
        with refused(DataError, "train/pear"):
            loaded("image_folder", str(tmp_path))

    def test_folders_without_classes_are_refused(self, tmp_path: Path):
        for part in ("train", "test"):
            (tmp_path / part).mkdir()
        with refused(DataError, "train"):
            loaded("image_folder", str(tmp_path))


def test_a_suite_names_the_path_and_a_changed_file_is_another_cell(
    tmp_path: Path, tiny_suite: Path
):
    vectors = np.random.default_rng(0).random((N + M, 2))
    text = tiny_suite.read_text().replace('"two_moons"', '"npz"').replace('"gll"', "")
    path = save(tmp_path, vectors)
    tiny_suite.write_text(text.replace("two_moons.samples = 160", f"npz.path = {path!r}"))
    keys = []
    for x in (vectors, vectors + 1):
        save(tmp_path, x)
        report = lapbench.run(tiny_suite, results=tmp_path / "results", seeds=1)
        assert report.unfinished == []
        keys.append({file.name for file in (tmp_path / "results" / "records").glob("*.json")})
    assert len(keys[0]) == 1
    assert keys[0] < keys[1]


def test_fewer_training_samples_than_classes_are_refused(tmp_path: Path):
    with refused(DataError, "4 class(es)", "train_size is 2"):
        loaded("npz", save(tmp_path, PIXELS), train_size=2)


def test_a_member_that_is_no_array_is_named(tmp_path: Path):
    path = tmp_path / "own.npz"
    np.savez(path, x_train=PIXELS)
    with ZipFile(path, "a") as file:
        for name in ("y_train", "x_test", "y_test"):
            file.writestr(f"{name}.npy", b"no array")
    with refused(DataError, "y_train"):
        loaded("npz", str(path))


@pytest.mark.parametrize("name", ["npz", "image_folder"])
def test_a_home_that_is_nobodys_is_named(name: str):
    with refused(DataError, "~nobody-of-this-name/x"):
        loaded(name, "~nobody-of-this-name/x")
