"""What is stored beside a record belongs to the model that was evaluated."""

import json
from pathlib import Path

import numpy as np
import pytest
from expect_refusal import refused
from make_finished_runs import finished

import lapbench
from lapbench import discovery
from lapbench.methods.base.smoothness import smoothness_by_depth
from lapbench.results.folder import RecordError, ResultsFolder
from lapbench.suite.planning import SelectionError
from lapbench.training.metrics import predict


def test_loaded_model_predicts_what_was_evaluated(tiny_suite: Path, tmp_path: Path):
    folder = ResultsFolder(finished(tiny_suite, tmp_path / "r"))
    for key in folder.list_keys():
        record = folder.read_record(key)
        task = record.cell.load_task()
        model = lapbench.load_model(key[:12], folder.path)
        predicted = predict(model, task.test.x, record.cell.evaluation.batch_size)
        accuracy = float((predicted.argmax(dim=1) == task.test.y).double().mean())
        assert accuracy == next(m.value for m in record.metrics if m.metric == "accuracy")


def test_smoothness_is_that_of_the_trained_model(tiny_suite: Path, tmp_path: Path):
    """On batches of 100 training samples in their order, the incomplete last one left out."""
    text = tiny_suite.read_text().replace("samples = 160", "samples = 400")
    tiny_suite.write_text(text + "\n[evaluation]\nsmoothness_powers = [1, 2]\n")
    lapbench.run(tiny_suite, results=tmp_path / "r", seeds=1)
    folder = ResultsFolder(tmp_path / "r")
    for key in folder.list_keys():
        model = lapbench.load_model(key, tmp_path / "r")
        train = folder.read_record(key).cell.load_task().train
        assert 200 <= len(train) < 300
        for power in (1, 2):
            batches = zip(train.x[:200].split(100), train.y[:200].split(100), strict=True)
            expected = [
                smoothness_by_depth(model, x, y, power).detach().numpy()  # type: ignore[arg-type]
                for x, y in batches
            ]
            np.testing.assert_array_equal(folder.read_arrays(key)[f"smoothness_{power}"], expected)


def test_smoothness_on_few_labels_is_of_one_batch(tiny_suite: Path, tmp_path: Path):
    text = tiny_suite.read_text().replace('backbone = "mlp"', 'backbone = "mlp"\nlabeled = 30')
    tiny_suite.write_text(text + "\n[evaluation]\nsmoothness_powers = [1]\n")
    report = lapbench.run(tiny_suite, results=tmp_path / "r", seeds=1, methods="softmax")
    folder = ResultsFolder(tmp_path / "r")
    (key,) = folder.list_keys()
    assert folder.read_arrays(key)["smoothness_1"].shape == (1, 2)
    assert "Training samples that keep their class: 30." in report.conditions


def test_model_that_was_trained_on_other_data_is_refused(tiny_suite: Path, tmp_path: Path):
    folder = ResultsFolder(finished(tiny_suite, tmp_path / "r"))
    key = folder.list_keys()[0]
    record = json.loads(folder.record_path(key).read_text())
    record["cell"]["dataset"]["parameters"]["noise"] = 0.2
    folder.record_path(key).write_text(json.dumps(record))
    with refused(RecordError, key, "data"):
        lapbench.load_model(key, tmp_path / "r")


def test_model_of_another_version_of_its_method_is_refused(
    tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = ResultsFolder(finished(tiny_suite, tmp_path / "r"))
    key = folder.list_keys()[0]
    name = folder.read_record(key).cell.method.head.name
    monkeypatch.setattr(discovery.load("methods", name), "version", 99)
    with refused(RecordError, key, "version"):
        lapbench.load_model(key, tmp_path / "r")


@pytest.mark.parametrize("training", ['"pgd"', '["natural", "pgd"]'])
def test_attack_larger_than_the_range_of_inputs_is_refused(
    tiny_suite: Path, tmp_path: Path, training: str
):
    text = tiny_suite.read_text().replace('"two_moons"', '"digits"')
    text = text.replace("two_moons.samples = 160\n", "")
    tiny_suite.write_text(f"training = {training}\n{text}\n[pgd]\nepsilon = 8\nstep_size = 2\n")
    with refused(SelectionError, "pgd.epsilon: received 8", "(0.0, 1.0)"):
        lapbench.run(tiny_suite, results=tmp_path / "r")
