"""MNIST: where its files are found, which are refused, and how images are split."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from expect_refusal import refused
from make_cells import create, load_task
from make_data_files import IDX_NAMES as NAMES
from make_data_files import idx, numbered, zipped
from pydantic import ValidationError

from lapbench.cli.main import main
from lapbench.datasets.base.draws import draw_rows
from lapbench.datasets.base.task import Split, Task
from lapbench.datasets.files.files import DataError, MissingDataError
from lapbench.datasets.mnist import MNIST

TRAIN, TEST = 300, 100


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch, labels: np.ndarray) -> None:
    """Write a small MNIST of 300 and 100 images, gzipped, as if it were the published one."""
    contents = [idx(numbered(TRAIN, 0, 1, 28)[:, 0]), idx(labels)]
    contents += [idx(numbered(TEST, TRAIN, 1, 28)[:, 0]), idx(np.arange(TEST) % 10)]
    named = dict(zip(NAMES, contents, strict=True))
    monkeypatch.setattr(MNIST, "training", TRAIN)
    monkeypatch.setattr(MNIST, "data_files", zipped(named, "MNIST/raw", "https://example.org/"))
    for name, content in named.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1, mtime=7))


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a small MNIST, whose classes are 0, 1, …, 9, 0, …"""
    monkeypatch.setenv("LAPBENCH_DATA", str(tmp_path))
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    publish(folder, monkeypatch, np.arange(TRAIN) % 10)
    return folder


def task(seed: int = 0, validation: int = 50, **options: Any) -> Task:
    """The task of the small MNIST."""
    dataset = create("datasets", "mnist", validation=validation, **options)
    loaded: Task = dataset.load(np.random.default_rng(seed))
    return loaded


def numbers(split: Split) -> list[int]:
    """The numbers written into images."""
    first = (split.x[:, 0, 0, :2] * 255).round().int()
    return (first[:, 0] * 256 + first[:, 1]).tolist()


@pytest.mark.parametrize("unzipped", [0, 2, 4])
def test_images_and_labels_are_read_in_their_order(raw: Path, unzipped: int):
    """Gzipped, plain as torchvision has them, or some of each; without validation all train."""
    for name in NAMES[:unzipped]:
        path = raw / f"{name}.gz"
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    loaded = task(validation=0)
    for split, count, first in ((loaded.train, TRAIN, 0), (loaded.test, TEST, TRAIN)):
        assert split.x.shape == (count, 1, 28, 28)
        assert split.x.dtype == torch.float32
        assert numbers(split) == list(range(first, first + count))
        assert split.y.tolist() == [i % 10 for i in range(count)]
        assert (split.x[:, 0, 27, 27] == 1).all()
        assert (split.x[:, 0, 1:27] == 0).all()
    assert loaded.validation.x.shape == (0, 1, 28, 28)
    assert (loaded.num_classes, loaded.bounds) == (10, (0.0, 1.0))


@pytest.mark.parametrize("seed", [0, 1])
def test_each_class_has_its_share_of_every_draw(
    raw: Path, monkeypatch: pytest.MonkeyPatch, seed: int
):
    """The classes have 21, 23, …, 39 images here."""
    labels = np.repeat(np.arange(10), np.arange(21, 40, 2))
    publish(raw, monkeypatch, labels)
    share = np.bincount(labels) / TRAIN
    for validation, train_size in ((50, None), (50, 40), (75, 225), (0, 12), (283, 17)):
        loaded = task(seed, validation, train_size=train_size)
        for split in (loaded.train, loaded.validation):
            counts = split.y.bincount(minlength=10).numpy()
            assert np.abs(counts - share * len(split)).max() <= 1
        assert len(loaded.validation) == validation
        assert len(loaded.train) == (train_size or TRAIN - validation)
        assert not set(numbers(loaded.train)) & set(numbers(loaded.validation))


@pytest.mark.usefixtures("raw")
class TestDraws:
    def test_ten_samples_have_all_ten_classes(self):
        loaded = task(validation=10, train_size=10)
        for split in (loaded.train, loaded.validation):
            assert sorted(split.y.tolist()) == list(range(10))

    def test_differ_between_repetitions_and_smaller_ones_are_parts_of_larger_ones(self):
        small, large, whole = (task(train_size=size) for size in (20, 90, None))
        again, other = task(train_size=20), task(1, train_size=20)
        assert set(numbers(small.train)) < set(numbers(large.train)) < set(numbers(whole.train))
        assert numbers(small.validation) == numbers(whole.validation)
        assert numbers(small.train) == numbers(again.train)
        assert numbers(small.train) != numbers(other.train)
        assert numbers(small.validation) != numbers(other.validation)
        assert torch.equal(small.test.x, other.test.x)

    @pytest.mark.parametrize("train_size", [10, 100, None])
    def test_first_rows_are_those_published_first_in_every_repetition(self, train_size: int | None):
        one, two = (task(seed, train_size=train_size, train_rows="first") for seed in (0, 1))
        count = train_size or TRAIN - 50
        assert numbers(one.train) == numbers(two.train) == list(range(count))
        assert min(numbers(one.validation)) >= count
        assert one.validation.y.bincount().tolist() == [5] * 10
        assert (numbers(one.validation) == numbers(two.validation)) == (train_size is None)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"validation": -1}, ["validation", "-1"]),
        ({"train_size": 9}, ["train_size", "9"]),
        ({"train_rows": "last"}, ["train_rows", "'drawn' or 'first'"]),
        ({"validation": 59_991}, ["validation = 59991", "9 of 60000", "10"]),
        ({"validation": 1, "train_size": 60_000}, ["validation = 1", "59999 of 60000"]),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, object], named: list[str]):
    with refused(ValidationError, *named):
        create("datasets", "mnist", **options)


@pytest.mark.parametrize(("validation", "train_size"), [(-1, 5), (11, None), (3, 8), (3, -1)])
def test_more_rows_than_there_are_cannot_be_drawn(validation: int, train_size: int | None):
    with refused(ValueError, f"validation = {validation}", "10 samples"):
        draw_rows(np.arange(10, dtype=np.uint8), validation, train_size, np.random.default_rng(0))


def test_missing_files_are_all_named_with_the_remedy(raw: Path):
    for name in (NAMES[0], NAMES[3]):
        (raw / f"{name}.gz").unlink()
    folder = f"LAPBENCH_DATA (now {raw.parents[1]})"
    with refused(MissingDataError, "2 of 4 files", folder, f"MNIST/raw/{NAMES[0]}") as error:
        task()
    for name in NAMES:
        named = f"{raw / name}.gz (MD5 sum" in str(error.value)
        assert named == (name in (NAMES[0], NAMES[3]))


@pytest.mark.parametrize(("cache", "place"), [("cache", "cache/lapbench"), ("", ".cache/lapbench")])
def test_without_the_variable_the_cache_folder_is_looked_at(
    raw: Path, monkeypatch: pytest.MonkeyPatch, cache: str, place: str
):
    home = raw.parents[1]
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / cache) if cache else "")
    monkeypatch.delenv("LAPBENCH_DATA")
    with refused(MissingDataError, f"{home}/{place}/MNIST/raw/{NAMES[0]}"):
        task()
    (home / place).mkdir(parents=True, exist_ok=True)
    (home / "MNIST").rename(home / place / "MNIST")
    assert len(task().test) == TEST


@pytest.mark.parametrize(("name", "content"), [(NAMES[1], b""), (NAMES[2], b"<html>")])
def test_other_files_are_refused_by_name_beside_gzipped_ones(raw: Path, name: str, content: bytes):
    (raw / name).write_bytes(content)
    with refused(DataError, f"{raw / name} "):
        task()


def test_missing_files_end_a_run_before_it_starts_with_a_message(
    tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LAPBENCH_DATA", str(tmp_path / "nowhere"))
    text = tiny_suite.read_text().replace("two_moons.samples = 160\n", "")
    tiny_suite.write_text(text.replace('"two_moons"', '"mnist"'))
    ran = CliRunner().invoke(main, ["run", str(tiny_suite), "--results", str(tmp_path / "results")])
    assert isinstance(ran.exception, SystemExit)
    assert ran.exit_code > 0
    assert ran.output.startswith("Error: mnist: 4 of 4 files")
    assert "Traceback" not in ran.output
    assert not (tmp_path / "results").exists()


def test_real_files_are_those_that_were_published():
    """Skipped where they are not there; mean and deviation are those that all normalise by."""
    loaded = load_task("mnist", validation=0)
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    first = ([5, 0, 4, 1, 9], [7, 2, 1, 0, 4])
    splits = (loaded.train, loaded.test)
    for split, counts, labels in zip(splits, (train, test), first, strict=True):
        assert split.x.shape == (sum(counts), 1, 28, 28)
        assert split.y.bincount().tolist() == counts
        assert split.y[:5].tolist() == labels
    assert float(loaded.train.x.mean()) == pytest.approx(0.1307, abs=5e-5)
    assert float(loaded.train.x.std()) == pytest.approx(0.3081, abs=5e-5)
