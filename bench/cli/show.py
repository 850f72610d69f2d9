"""Records and the machine, described for people."""

import os
from dataclasses import asdict
from pathlib import Path

import torch
from pydantic import TypeAdapter

from lapbench.results.folder import RecordError, ResultsFolder
from lapbench.results.provenance import provenance
from lapbench.results.records import Record, indented
from lapbench.suite.cells import Cell


def describe(beginning: str, results: Path) -> str:
    """Text of the record whose key begins with ``beginning``.

    Args:
        beginning: first letters of the key.
        results: a results folder, or a folder of results folders.

    Raises:
        RecordError: if there is no such record, or more than one.

    """
    folders = [ResultsFolder(path) for path in (results, *sorted(results.glob("*/")))]
    having = [
        folder
        for folder in folders
        if any(key.startswith(beginning.lower()) for key in folder.list_keys())
    ]
    if len(having) != 1:
        names = ", ".join(str(folder.path) for folder in having)
        raise RecordError(
            f"KEY: received {beginning!r}; must be the beginning of a key in one results folder, "
            f"and {len(having)} in {results} have such a key{': ' + names if names else ''}; "
            "give the results folder with --results"
        )
    return _describe_record(having[0].find_record(beginning), having[0])


def describe_machine() -> str:
    """Versions, processor and accelerators."""
    about = asdict(provenance("cpu"))
    del about["command"], about["started"]
    about["accelerator"] = [
        torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
    ]
    about["threads"] = torch.get_num_threads()
    about["LAPBENCH_DATA"] = os.environ.get("LAPBENCH_DATA")
    return indented(about)


def _describe_record(record: Record, folder: ResultsFolder) -> str:
    parts = [f"{record.key}  {record.status}  {folder.record_path(record.key)}"]
    if record.reason:
        parts.append(f"reason: {record.reason}")
    parts += [f"warning: {text}" for text in record.warnings]
    for metric in record.metrics:
        attack = f" under {metric.attack}" if metric.attack else ""
        level = f", {metric.parameter} {metric.level:g}" if metric.parameter else ""
        steps = f", {metric.steps} steps" if metric.steps else ""
        parts.append(
            f"{metric.split} {metric.metric}{attack}{level}{steps}: {metric.value:.4g} "
            f"({metric.count} samples)"
        )
    for run in record.attacks:
        spent = f"{run.queries} predictions, {run.gradients} gradients of batches"
        parts.append(f"attack {run.label}: {run.status} ({run.reason or spent})")
    parts += [f"check {flag.name}: {flag.verdict} ({flag.evidence})" for flag in record.flags]
    parts.append("cell:\n" + indented(TypeAdapter(Cell).dump_python(record.cell, mode="json")))
    parts.append("provenance:\n" + indented(asdict(record.provenance)))
    failures = [record.traceback, *(run.traceback for run in record.attacks)]
    parts += [text.rstrip() for text in failures if text]
    return "\n".join(parts)
