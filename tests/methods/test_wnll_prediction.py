"""WNLL: prediction from template batches and with unknown labels, and its own metrics."""

import io
from typing import Any

import pytest
import torch
from oracle_graph import relative_error
from oracle_wnll import (
    CLASSES,
    blobs,
    build,
    dense_log_probabilities,
    interpolating,
    partly_unknown,
    template_batches,
    values_of,
)
from torch.nn import functional

from lapbench.seeds import Seeds

TASK = blobs()
X, Y = TASK.test.x, TASK.test.y
SEEDS = Seeds("blobs", 0)


class TestTemplateBatches:
    def model(self) -> Any:
        model = build(TASK, template_batch_size=16)
        model.finish(TASK, SEEDS.stream("finish"))
        return model

    def test_divide_the_template_and_hold_every_class(self):
        model = self.model()
        batches = template_batches(model, X)
        assert len(batches) == -(-len(model.template) // 16)
        joined = torch.cat([batch.x for batch in batches])
        assert sorted(joined.tolist()) == sorted(model.template.x.tolist())
        for batch in batches:
            assert set(batch.y.tolist()) == set(range(CLASSES))

    def test_are_averaged_in_a_prediction(self):
        model = self.model()
        values = [values_of(model, X, batch) for batch in template_batches(model, X)]
        mean = torch.stack(values).mean(dim=0)
        torch.testing.assert_close(model(X), dense_log_probabilities(mean))

    @pytest.mark.parametrize("size", [len(X), 7])
    def test_vote(self, size: int):
        """Their majority is measured beside it."""
        model, classes = self.model(), []
        batches = template_batches(model, X)
        for x in X.split(size):
            votes = torch.stack([values_of(model, x, batch).argmax(dim=1) for batch in batches])
            counts = torch.stack([(votes == label).sum(dim=0) for label in range(CLASSES)])
            classes.append(counts.argmax(dim=0))
        expected = (torch.cat(classes) == Y).double().mean().item()
        found = model.measure(TASK.test, size)["majority_vote_accuracy"]
        assert found == pytest.approx(expected)


def test_gradient_cosine_compares_the_surrogate_with_the_exact_gradient():
    """In the outputs and in the weights of the buffer, and whichever of them trains."""
    gradients = []
    for kind in ("surrogate", "exact"):
        model = interpolating(TASK, gradient=kind, template_batch_size="all")
        features = model.features(X)
        loss = functional.cross_entropy(model.outputs(features), Y)
        gradients.append(torch.autograd.grad(loss, [features, model.buffer[0].weight]))
    for kind in ("surrogate", "exact"):
        model = interpolating(TASK, gradient=kind, template_batch_size="all")
        found = model.measure(TASK.test, len(X))
        for name, one, other in zip(("outputs", "weights"), *gradients, strict=True):
            expected = float((one * other).sum() / (one.norm() * other.norm()))
            assert abs(expected) < 0.99
            assert found[f"gradient_cosine_buffer_{name}"] == pytest.approx(expected, rel=1e-9)


class TestUnknownLabels:
    """Approach I: they are in the graph of a prediction."""

    def model(self) -> Any:
        model = build(partly_unknown(TASK), template_batch_size="all")
        model.finish(partly_unknown(TASK), SEEDS.stream("finish"))
        return model

    def test_are_not_in_the_template(self):
        model, task = self.model(), partly_unknown(TASK)
        unknown = task.train.x[task.train.y < 0]
        assert not (model.template.x[:, None] == unknown[None]).all(dim=2).any()
        assert (model.template.y >= 0).all()
        assert sorted(model.unlabeled.tolist()) == sorted(unknown.tolist())

    def test_change_a_prediction_as_the_dense_solve_says(self):
        model = self.model()
        everything = torch.cat([X, model.unlabeled])
        values = values_of(model, everything, model.template)[: len(X)]
        torch.testing.assert_close(model(X), dense_log_probabilities(values))
        alone = dense_log_probabilities(values_of(model, X, model.template))
        assert relative_error(model(X).detach(), alone) > 1e-3


def test_saved_model_keeps_template_and_unlabeled():
    task = partly_unknown(TASK)
    model = build(task, template_batch_size=16)
    model.finish(task, SEEDS.stream("finish"))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    copy = build(task, template_batch_size=16)
    copy.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(copy.template.x, model.template.x)
    assert torch.equal(copy.template.y, model.template.y)
    assert torch.equal(copy.unlabeled, model.unlabeled)
    assert torch.equal(copy(X), model(X))
