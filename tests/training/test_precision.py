"""Mixed precision: backbones in bfloat16 in training, all else in float32."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from make_cells import METHODS, small_cell
from make_suites import on_karate, suite

import lapbench
from lapbench.methods.base import smoothness as _smoothness
from lapbench.methods.base.capabilities import finish, phases_of, start_epoch, start_phase
from lapbench.results.folder import ResultsFolder
from lapbench.training.metrics import predict
from lapbench.training.steps import make_optimizer, take_step


@pytest.mark.parametrize("name", METHODS)
def test_features_are_those_of_bfloat16_in_training_and_of_float32_after(name: str):
    cell = replace(small_cell(name), precision="mixed")
    task = cell.load_task()
    if cell.method.create_head().skip(task):
        pytest.skip("the method does not apply to vectors")
    model = cell.build_model(task)
    seen: list[tuple[bool, torch.dtype]] = []
    linear = next(m for m in model.backbone.modules() if isinstance(m, torch.nn.Linear))
    linear.register_forward_hook(lambda *_: seen.append((model.mixed_precision, _[-1].dtype)))
    (phase, *_) = phases_of(model, cell.budget)
    start_phase(model, phase)
    held_out = start_epoch(model, task, cell.seeds.stream("base", 1))
    rest = torch.ones(len(task.train), dtype=torch.bool)
    rest[held_out] = False
    optimizer = make_optimizer(phase.parameters, phase.budget)
    x, y = task.train.x[rest], task.train.y[rest]
    take_step(model, optimizer, x, y, cell.build_recipe(task))
    in_training = set(seen)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    gradients = [p.grad.dtype for p in phase.parameters if p.grad is not None]
    assert set(gradients) == {torch.float32}
    seen.clear()
    finish(model, task, cell.seeds.stream("finish"))
    assert predict(model, task.test.x, 50).dtype == torch.float32
    assert in_training <= {(True, torch.bfloat16)}
    assert set(seen) <= {(False, torch.float32)}


def test_the_precision_is_in_the_record_and_in_the_report(tmp_path: Path):
    path, results = suite(tmp_path, ["softmax", "gll"]), tmp_path / "results"
    report = lapbench.run(path, results=results, precision="mixed")
    folder = ResultsFolder(results)
    records = [folder.read_record(key) for key in folder.list_keys()]
    assert {record.cell.precision for record in records} == {"mixed"}
    assert {record.status for record in records} == {"ok"}
    assert any(line.startswith("Mixed precision: ") for line in report.conditions)


@pytest.mark.parametrize("k", [3, "all"])
def test_graphs_of_terms_are_in_float32(k: int | str, monkeypatch: pytest.MonkeyPatch):
    seen: list[torch.dtype] = []
    smoothness = _smoothness.smoothness

    def spy(features: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append(features.dtype)
        return smoothness(features, *rest)

    monkeypatch.setattr(_smoothness, "smoothness", spy)
    cell = replace(small_cell("label_smoothness", k=k), precision="mixed")
    task = cell.load_task()
    model = cell.build_model(task)
    optimizer = make_optimizer(list(model.parameters()), cell.budget)
    take_step(model, optimizer, task.train.x, task.train.y, cell.build_recipe(task))
    assert set(seen) == {torch.float32}


def test_node_tasks_stay_in_float32(tmp_path: Path):
    path, results = on_karate(tmp_path, '["softmax", "gll"]'), tmp_path / "results"
    lapbench.run(path, results=results, precision="mixed")
    folder = ResultsFolder(results)
    assert {folder.read_record(key).status for key in folder.list_keys()} == {"ok"}
