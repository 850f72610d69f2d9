"""Training against an attack: what a step is, and what is stored."""

from pathlib import Path
from typing import Any

import torch
from make_trainings import SEEDS, Noting, Phased, noise
from torch import Tensor

import lapbench
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.model import Model
from lapbench.results.collect import load_records
from lapbench.results.folder import ResultsFolder
from lapbench.training.adversarial import AdversarialTraining
from lapbench.training.events import TrainingObserver
from lapbench.training.loop import train
from lapbench.training.steps import Recipe

ATTACK = AdversarialTraining(epsilon=0.3, step_size=0.1, steps=5)


def test_steps_and_penalties_are_on_the_attacked_inputs():
    """The attack leaves the penalty out; one step is one call of the clock."""
    task = noise(images=False)
    model = Phased(task, [("all", 2)])
    penalised: list[Tensor] = []
    steps: list[int] = []

    def penalise(_: Model, x: Tensor, progress: float) -> Tensor:  # noqa: ARG001
        penalised.append(x)
        return x.new_zeros(())

    def clock(step: Any, _: int) -> float:
        before = len(model.batches)
        loss: float = step()
        steps.append(len(model.batches) - before)
        return loss

    recipe = Recipe([Noting(penalise)], ATTACK, (-3.0, 3.0))
    budget = Budget(epochs=2, batch_size=8)
    train(model, task, budget, SEEDS, recipe, TrainingObserver(clock))
    assert steps == [ATTACK.steps + 1] * 6
    trained = model.batches[ATTACK.steps :: ATTACK.steps + 1]
    assert all(torch.equal(a, b) for a, b in zip(penalised, trained, strict=True))
    for x in trained:
        distance = (x[:, None] - task.train.x[None]).abs().amax(dim=2)
        assert (distance.min(dim=1).values <= ATTACK.epsilon * (1 + 1e-12)).all()
        assert (distance.min(dim=1).values > 0).all()


def test_training_differs_from_natural_and_is_stored_with_its_options(
    tiny_suite: Path, tmp_path: Path
):
    table = "[pgd]\nepsilon = 0.25\nstep_size = 0.125\nsteps = 3\n"
    training = 'training = ["natural", "pgd"]\n'
    tiny_suite.write_text(training + tiny_suite.read_text() + table)
    report = lapbench.run(tiny_suite, results=tmp_path / "r", seeds=1)
    folder = ResultsFolder(tmp_path / "r")
    weights: dict[tuple[str, str], dict[str, Any]] = {}
    for key in folder.list_keys():
        record = folder.read_record(key)
        expected = AdversarialTraining(epsilon=0.25, step_size=0.125, steps=3)
        assert record.cell.pgd == (expected if record.cell.training == "pgd" else None)
        assert len(record.curves["training_loss"]) == 3
        weights[record.cell.method.name, record.cell.training] = folder.read_weights(key)
    assert len(weights) == 4
    for method in ("softmax", "gll"):
        natural, robust = weights[method, "natural"], weights[method, "pgd"]
        name = next(name for name in natural if name.endswith("weight"))
        assert not torch.equal(natural[name], robust[name])
    assert sorted(set(load_records(tmp_path / "r")["training"])) == ["natural", "pgd"]
    (line,) = [line for line in report.conditions if line.startswith("Training pgd: ")]
    assert "3 steps of 0.125" in line
    assert "ball of 0.25" in line
