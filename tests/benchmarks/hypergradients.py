"""One hypergradient on Cora, implicit or through 500 steps of Adam; also a program for its memory.

`python -m benchmarks.hypergradients implicit|unrolled` prints the bytes above the inputs: a process
has one peak.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace

import torch
from benchmarks.peak_memory import memory, start
from table import small_cell

from lapbench.suite.components import Component

STEPS = 500


def cora_hypergradient(kind: str, steps: int = STEPS) -> Callable[[], torch.Tensor]:
    """What finds it at the start of edge refinement, in float64 either way."""
    unrolled = {"inner_steps": steps} if kind == "unrolled" else {}
    cell = replace(
        small_cell("bilevel", graph="edges", hypergradient=kind, **unrolled),
        dataset=Component("cora", {}),
        backbone=Component("identity", {}),
    )
    model = cell.build_model(cell.load_task())

    def find() -> torch.Tensor:
        model.load_state_dict(initial)
        return model.hypergradient(model.head)

    initial = {name: value.clone() for name, value in model.state_dict().items()}
    return find


if __name__ == "__main__":
    torch.set_num_threads(1)
    find = cora_hypergradient(sys.argv[1])
    cora_hypergradient(sys.argv[1], steps=2)()  # loads libraries and buffers that a program keeps
    before = start()
    find()
    print(json.dumps(memory("VmHWM") - before))
