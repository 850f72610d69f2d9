"""Pretrained backbones are made once, and shared by the cells of all methods."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from make_cells import create, method
from make_trainings import DIGITS, QUICK, WILD, backbone_of, equal, few_digits

from lapbench.results import pretrained
from lapbench.results.folder import ResultsFolder
from lapbench.results.pretrained import load_or_pretrain, pretrained_key
from lapbench.suite.components import Component
from lapbench.training.simclr import pretrain
from lapbench.training.steps import DivergedError


def refuse(*_: object) -> list[float]:
    raise AssertionError("pretrained although it is stored")


def test_cells_of_all_methods_and_labels_have_one_key():
    x = few_digits().train.x
    others = [
        replace(DIGITS, method=method("gll")),
        replace(DIGITS, method=method("parseval")),
        replace(DIGITS, labeled=50),
        replace(DIGITS, budget=replace(DIGITS.budget, epochs=9)),
        replace(DIGITS, training="pgd"),
    ]
    keys = {pretrained_key(cell, QUICK, x) for cell in (DIGITS, *others)}
    assert len(keys) == 1
    assert len(keys.pop()) == 16


def test_anything_that_pretraining_depends_on_makes_another_key():
    x = few_digits().train.x
    others = [
        replace(DIGITS, repetition=1),
        replace(DIGITS, threads=2),
        replace(DIGITS, device="cuda"),
        replace(DIGITS, precision="mixed"),
        replace(DIGITS, dataset=Component("mnist", {})),
        replace(DIGITS, backbone=Component("small_resnet", {"width": 4, "blocks": 1})),
    ]
    keys = [pretrained_key(cell, QUICK, x) for cell in (DIGITS, *others)]
    keys += [pretrained_key(DIGITS, replace(QUICK, temperature=0.1), x)]
    keys += [pretrained_key(DIGITS, QUICK, part) for part in (x[1:], x.flip(0), x.flatten(1))]
    assert len(set(keys)) == len(keys)


def test_what_is_stored_is_what_was_made_under_every_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    task, folder = few_digits(), ResultsFolder(tmp_path)
    made = load_or_pretrain(DIGITS, QUICK, task, folder)
    alone = backbone_of(DIGITS, task)
    assert made.losses == pretrain(alone, task, QUICK, DIGITS.seeds)
    assert equal(made.state, alone.state_dict())
    monkeypatch.setattr(pretrained, "pretrain", refuse)
    for name in ("gll", "parseval", "wnll"):
        read = load_or_pretrain(replace(DIGITS, method=method(name)), QUICK, task, folder)
        assert equal(read.state, made.state)
        assert read.losses == made.losses
        create("backbones", "small_resnet", width=2, blocks=1).build(task).load_state_dict(
            read.state
        )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more"])
def test_a_damaged_file_is_made_again_with_a_warning(tmp_path: Path, content: bytes):
    task, folder = few_digits(), ResultsFolder(tmp_path)
    made = load_or_pretrain(DIGITS, QUICK, task, folder)
    (path,) = tmp_path.glob("weights/simclr-*.pt")
    path.write_bytes(content)
    with pytest.warns(RuntimeWarning, match=path.name):
        again = load_or_pretrain(DIGITS, QUICK, task, folder)
    assert equal(again.state, made.state)
    assert equal(load_or_pretrain(DIGITS, QUICK, task, folder).state, made.state)


def test_nothing_is_stored_of_what_fails(tmp_path: Path):
    for _ in range(2):
        with pytest.raises(DivergedError):
            load_or_pretrain(DIGITS, WILD, few_digits(), ResultsFolder(tmp_path))
    assert not list(tmp_path.rglob("*.pt"))


def test_who_comes_meanwhile_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    task, folder = few_digits(), ResultsFolder(tmp_path)
    begun, go_on, calls = Event(), Event(), list[int]()

    def slow(*args: Any) -> list[float]:
        calls.append(1)
        begun.set()
        assert go_on.wait(30)
        return pretrain(*args)

    monkeypatch.setattr(pretrained, "pretrain", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(load_or_pretrain, DIGITS, QUICK, task, folder)
        assert begun.wait(30)
        second = pool.submit(load_or_pretrain, DIGITS, QUICK, task, folder)
        with pytest.raises(TimeoutError):
            second.result(0.5)
        go_on.set()
        assert equal(first.result(30).state, second.result(30).state)
    assert len(calls) == 1
