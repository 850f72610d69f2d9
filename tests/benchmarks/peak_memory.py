"""How much memory one step takes above its inputs; a program, since a process has one peak.

`python -m benchmarks.peak_memory NODES` prints the bytes of the whole step and of the weight
gradient alone. Needs Linux, where a process can forget its peak, and glibc, which can be told to
give back what was freed: kept for later, it would hide as much of what follows.
"""

import ctypes
import json
import platform
import sys
from pathlib import Path

import torch
from benchmarks.steps import K, class_problem

from lapbench.methods.graph import knn_graph, solve_graph_equation

MEASURABLE = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


def memory(field: str) -> int:
    """Bytes of one field of /proc/self/status: VmRSS is in use now, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])


def start() -> int:
    """Forget the peak so far, and return the bytes in use."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return memory("VmRSS")


def peaks(nodes: int) -> dict[str, int]:
    """Bytes above the inputs, of the step and of its part from the weights to the features."""
    problem = class_problem(nodes)
    features = torch.from_numpy(problem.features).requires_grad_()
    labels, upstream = torch.from_numpy(problem.labels), torch.from_numpy(problem.upstream)
    labeled = torch.arange(len(labels))

    before = start()
    graph = knn_graph(features, K)
    solution = solve_graph_equation(graph, labels, labeled)
    loss = (solution.values * upstream).sum()
    (to_weights,) = torch.autograd.grad(loss, graph.weights)
    to_the_weights = memory("VmHWM") - before
    before_gradient = start()
    torch.autograd.grad(graph.weights, features, to_weights)
    to_the_features = memory("VmHWM")
    return {
        "step": max(to_the_weights, to_the_features - before),
        "weight gradient": to_the_features - before_gradient,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    peaks(300)  # loads libraries and buffers that a program keeps
    print(json.dumps(peaks(int(sys.argv[1]))))
