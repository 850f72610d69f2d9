"""Past runs, for the tests of histories: as frames, and as folders of records."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

RECORDS = Path(__file__).parents[2] / "reports" / "records" / "default"

Number = tuple[str, float | None] | tuple[str, float | None, dict[str, Any]]
"""Metric and value, None of a cell that failed, and columns that differ."""
Edit = Callable[[dict[str, Any]], None]

_UNATTACKED = {"attack": "", "norm": "", "parameter": "", "level": 0.0, "steps": 0}


def past(
    numbers: Callable[[int, str, int], list[Number]],
    runs: int = 3,
    methods: tuple[str, ...] = ("softmax", "gll"),
    tasks: tuple[str, ...] = ("digits",),
    repetitions: int = 2,
    about: Callable[[int], dict[str, Any]] = lambda run: {},
) -> pd.DataFrame:
    """A frame of past runs; ``numbers`` are of a run, method and repetition."""
    rows = []
    for run, task, method, repetition in product(range(runs), tasks, methods, range(repetitions)):
        cell = {
            "task": task,
            "backbone": "mlp",
            "method": method,
            "training": "natural",
            "repetition": repetition,
            "key": f"{task}/{method}/{repetition}",
            "run": f"run{run}",
            "commit": f"{run:07x}" + "0" * 33,
            "started": f"{np.datetime64('2026-01-01') + run}T10:00:00+00:00",
            "processor": "slow",
            "torch": "2.13.0",
            "data": "same",
            **about(run),
        }
        for metric, value, *more in numbers(run, method, repetition):
            number = {"metric": metric, "value": value, "status": "ok"}
            if value is None:
                number = {"metric": None, "value": np.nan, "status": "failed"}
            rows.append({**cell, **_UNATTACKED, **number, **dict(*more)})
    return pd.DataFrame(rows)


def accuracy(run: int, method: str, repetition: int) -> list[Number]:
    """GLL loses a point a run."""
    return [("accuracy", 0.9 + 0.02 * repetition - (0.01 * run if method == "gll" else 0))]


def keep_run(
    folder: Path, day: int, commit: str = "a" * 40, edit: Edit = lambda record: None
) -> Path:
    """Store the cells of softmax and gll on digits as a run of a day; ``edit`` gets each record."""
    plan = json.loads((RECORDS / "plan.json").read_text())
    plan["cells"] = [planned for planned in plan["cells"] if _kept(planned["cell"])]
    for planned in plan["cells"]:
        record = json.loads((RECORDS / "records" / f"{planned['key']}.json").read_text())
        about = {"started": f"2026-03-{day:02}T08:00:00+00:00", "commit": commit}
        record["provenance"] |= about
        edit(record)
        path = folder / "records" / f"{planned['key']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder


def _kept(cell: dict[str, Any]) -> bool:
    names = cell["dataset"]["name"], cell["method"]["head"]["name"], cell["method"]["terms"]
    return names in (("digits", "softmax", []), ("digits", "gll", []))
