"""Limits of a comparison that a user gives: ``accuracy:-1pt``, ``step_ratio:50%``."""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from lapbench.errors import LapbenchError
from lapbench.reports.tracking.kinds import KINDS, Kind

_NUMBER = r"(\d+\.?\d*|\.\d+)"
_FORMS = {
    1: (rf"-?{_NUMBER}(pt|%)", "1pt (points of per cent) or 5% (of the baseline)"),
    -1: (rf"\+?{_NUMBER}(x|%)", "1.5x (a factor of 1 or more) or 50% (of the baseline)"),
    0: (rf"{_NUMBER}(x|%)", "1.5x (a factor of 1 or more) or 50% (of the baseline), unsigned"),
}
_EXAMPLES = '"accuracy:-1pt" and "step_ratio:50%"'


class GateError(LapbenchError):
    """A limit cannot be read, or the baseline has no number that it could limit."""


def read_gates(texts: str | Sequence[str], measured: Collection[str]) -> dict[str, Kind]:
    """How metrics with a limit of their own are compared, by metric.

    Args:
        texts: each METRIC:LIMIT. A limit is a number with ``pt`` (points of per cent, for shares),
            ``%`` (of the baseline) or ``x`` (a factor, for all but shares). Its sign may be given:
            shares get worse downwards, the others upwards.
        measured: metrics of the baseline; a limit on another one would check nothing.

    Raises:
        GateError: naming the text and what it must be.

    """
    gates: dict[str, Kind] = {}
    for text in [texts] if isinstance(texts, str) else texts:
        metric, _, limit = (part.strip() for part in text.rpartition(":"))
        if metric not in measured:
            known = ", ".join(name for name in KINDS if name in measured)
            raise _refused(text, f"METRIC must be one that the baseline has: {known}")
        if metric in gates:
            raise _refused(text, f"{metric} is repeated; give each metric one limit")
        gates[metric] = _with_limit(text, KINDS[metric], limit)
    return gates


def _with_limit(text: str, kind: Kind, limit: str) -> Kind:
    pattern, form = _FORMS[kind.better]
    match = re.fullmatch(pattern, limit)
    if match is None or (match[2] == "x" and float(match[1]) < 1):
        raise _refused(text, f"LIMIT must be like {form}, as in {_EXAMPLES}")
    number, unit = float(match[1]), match[2]
    if unit == "pt":
        return replace(kind, share=0.0, least=number / 100, most=math.inf)
    share = number - 1 if unit == "x" else number / 100
    return replace(kind, share=share, least=0.0, most=math.inf)


def _refused(text: str, rule: str) -> GateError:
    return GateError(f"--fail-on: received {text!r}; {rule}")
