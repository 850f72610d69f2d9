"""lapbench: graph (Laplacian) regularisers for neural networks, compared on equal terms.

- ``run(suite)`` runs a suite and writes its report; ``write_report(folder)`` writes it again.
- ``compare(baseline, folder)`` says what changed since an earlier run.
- ``load_records(folder)`` gives the results as a tidy pandas frame.
- ``load_model(key, folder)`` gives a trained model.
- ``names("methods")`` lists the components of a kind.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lapbench.discovery import names
    from lapbench.reporting.report import write_report
    from lapbench.results.collect import load_records
    from lapbench.results.models import load_model
    from lapbench.running.api import run
    from lapbench.tracking.regression import compare

__all__ = ["compare", "load_model", "load_records", "names", "run", "write_report"]

_HOMES = {
    "compare": "lapbench.tracking.regression",
    "load_model": "lapbench.results.models",
    "load_records": "lapbench.results.collect",
    "names": "lapbench.discovery",
    "run": "lapbench.running.api",
    "write_report": "lapbench.reporting.report",
}


def __getattr__(name: str) -> Any:
    """Import a public function on first use, so that ``lapbench --help`` answers at once."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lapbench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
