"""The hash of a task's data changes with each of its parts, so cells on other data run again."""

from dataclasses import replace

import pytest
import torch
from make_cells import load_task

from lapbench.datasets.base.task import Split, Task, data_hash

TASK = Task("toy", *[Split(torch.rand(4, 3), torch.tensor([0, 1, 1, 0]))] * 3, num_classes=2)
KARATE = load_task("karate")


@pytest.mark.parametrize("field", ["x", "y"])
@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_changes_with_inputs_and_labels_of_every_split(name: str, field: str):
    split = getattr(TASK, name)
    other = replace(split, **{field: getattr(split, field).roll(1, 0)})
    assert data_hash(replace(TASK, **{name: other})) != data_hash(TASK)


def test_changes_with_the_graph_and_the_outer_nodes():
    edges, outer, labels = KARATE.edge_index, KARATE.outer, KARATE.outer_labels
    assert edges is not None
    assert outer is not None
    assert labels is not None
    others = [{"edge_index": edges[:, 1:]}, {"outer": outer.flip(0)}, {"outer_labels": 1 - labels}]
    hashes = {data_hash(replace(KARATE, **other)) for other in [{}, *others]}  # type: ignore[arg-type]
    assert len(hashes) == 4


def test_is_the_same_for_equal_data_and_differs_between_repetitions():
    assert data_hash(load_task("karate")) == data_hash(KARATE)
    assert data_hash(load_task("karate", seed=1)) != data_hash(KARATE)
