"""A results folder, in which every file is written completely or not at all."""

import json
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Literal, cast
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError

from lapbench.errors import LapbenchError
from lapbench.results.records import Record
from lapbench.suite.plan import PLAN_FILE, SCHEMA, Plan

Place = Literal["weights", "checkpoints"]


class RecordError(LapbenchError):
    """A results folder or a file in it cannot be read."""


class DamagedRecordError(RecordError):
    """A file is truncated or was changed by hand."""


class ResultsFolder:
    """A folder of results: ``plan.json``, ``records/``, ``arrays/``, ``weights/``.

    While cells run, ``checkpoints/`` and ``running/`` too.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def write_plan(self, plan: Plan) -> None:
        """Replace the plan."""
        _write(self.path / PLAN_FILE, lambda file: file.write(_to_json(Plan, plan)))

    def read_plan(self) -> Plan:
        """Plan of the folder."""
        path = self.path / PLAN_FILE
        if not path.is_file():
            raise RecordError(
                f"{self.path} is not a results folder: there is no {PLAN_FILE}; give a folder that "
                "`lapbench run` wrote, such as results/default"
            )
        plan: Plan = _read(Plan, path)
        return plan

    def write_record(self, record: Record) -> None:
        """Store a record; from then on its cell is finished."""
        _write(self.record_path(record.key), lambda file: file.write(_to_json(Record, record)))

    def record_path(self, key: str) -> Path:
        """Path of the record of a key."""
        return self.path / "records" / f"{key}.json"

    def read_record(self, key: str) -> Record:
        """Record of a key."""
        record: Record = _read(Record, self.record_path(key))
        return record

    def find_final(self, key: str) -> Record | None:
        """Record of a cell that need not run again, or None."""
        if not self.record_path(key).is_file():
            return None
        try:
            record = self.read_record(key)
        except DamagedRecordError:
            return None
        return record if record.is_final else None

    def list_keys(self) -> list[str]:
        """Keys of all records; unfinished temporary files are not records."""
        return sorted(path.stem for path in (self.path / "records").glob("[!.]*.json"))

    def find_record(self, beginning: str) -> Record:
        """Record whose key begins with ``beginning``."""
        keys = [key for key in self.list_keys() if key.startswith(beginning.lower())]
        if len(keys) != 1:
            raise RecordError(
                f"key: received {beginning!r}, which begins {len(keys)} keys in {self.path}; must "
                "begin one; keys are the names of records/*.json"
            )
        return self.read_record(keys[0])

    def write_arrays(self, key: str, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        """Store named arrays of a cell."""
        _write(
            self.path / "arrays" / f"{key}.npz", lambda file: np.savez(file, **cast("Any", arrays))
        )

    def read_arrays(self, key: str) -> dict[str, np.ndarray[Any, Any]]:
        """Arrays of a cell; empty if there are none."""
        path = self.path / "arrays" / f"{key}.npz"
        if not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except (ValueError, EOFError, BadZipFile) as error:
            raise _damaged(path, f"arrays cannot be read: {type(error).__name__}") from error

    def write_weights(self, key: str, state: dict[str, Any], place: Place = "weights") -> None:
        """Store the state of a model, trained or in training."""
        # By way of memory, as torch takes a full disk for an error of its own.
        content = BytesIO()
        torch.save(state, content)
        _write(self.path / place / f"{key}.pt", lambda file: file.write(content.getbuffer()))

    def read_weights(self, key: str, place: Place = "weights") -> dict[str, Any]:
        """State of a model, read without executing code."""
        path = self.path / place / f"{key}.pt"
        if not path.is_file():
            raise RecordError(f"{path} does not exist; run the suite again to train the model")
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        except OSError:
            raise
        except Exception as error:
            raise _damaged(path, f"weights cannot be read: {type(error).__name__}") from error
        return state


def _write(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _to_json(kind: Any, content: Any) -> bytes:
    """JSON text without NaN and infinity, which are not valid JSON."""
    tree = TypeAdapter(kind).dump_python(content, mode="json")
    return json.dumps(tree, indent=1, allow_nan=False, ensure_ascii=False).encode()


def _read(kind: Any, path: Path) -> Any:
    content = path.read_bytes()
    try:
        schema = json.loads(content)["schema"]
        if schema != SCHEMA:
            raise RecordError(
                f"{path} has schema {schema!r}, this lapbench reads schema {SCHEMA}; read it with "
                "the lapbench that wrote it, or run the suite in another folder"
            )
        return TypeAdapter(kind).validate_json(content)
    except RecordError:
        raise
    except ValidationError as error:
        mistakes = [f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in error.errors()]
        raise _damaged(path, "; ".join(mistakes)) from error
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _damaged(path: Path, why: str) -> DamagedRecordError:
    return DamagedRecordError(f"{path} is damaged; delete it and run the suite again ({why})")
