"""Print the files of lapbench in the order of their first call, up to the record of one cell.

Arguments: a suite file and a results folder. The cell is softmax with an MLP on two_moons; what is
imported before the trace is not in it.
"""

import sys
import threading
from pathlib import Path
from types import FrameType

import lapbench.datasets.two_moons
import lapbench.methods.backbones.mlp
import lapbench.methods.softmax
import lapbench.results.checkpoint
import lapbench.running.api

PACKAGE = f"{Path(lapbench.__file__).parent}/"
files: dict[str, None] = {}


def see(frame: FrameType, event: str, _: object) -> None:
    """Note the file of a function that is called; the body of a module or class is none."""
    code = frame.f_code
    path = code.co_filename
    if event == "call" and path not in files and path.startswith(PACKAGE):
        in_function = code.co_flags & 2  # inspect.CO_NEWLOCALS
        if in_function and not code.co_name.startswith("<"):
            files[path] = None


if __name__ == "__main__":
    lapbench.results.checkpoint.SECONDS = float("inf")  # A slow machine would enter one more.
    lapbench.running.api.write_report = lambda _: None  # type: ignore[assignment]
    threading.setprofile(see)
    sys.setprofile(see)
    lapbench.running.api.run(sys.argv[1], results=sys.argv[2], jobs=0)
    sys.setprofile(None)
    print("\n".join(path.removeprefix(PACKAGE).removesuffix(".py") for path in files))
