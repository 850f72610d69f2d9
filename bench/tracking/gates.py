"""Limits of a comparison that a user gives: ``accuracy:-1pt``, ``step_ratio:50%``."""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from lapbench.errors import LapbenchError
from lapbench.reports.tracking.kinds import KINDS, Kind

_LIMIT = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(pt|%|x)")
_EXAMPLES = '"accuracy:-1pt" (points of per cent), "step_ratio:50%" or "step_ratio:1.5x"'


class GateError(LapbenchError):
    """A limit cannot be read, or nothing is compared that it could limit."""


def read_gates(texts: str | Sequence[str]) -> dict[str, Kind]:
    """Return how metrics with a limit of their own are compared, by their names.

    Args:
        texts: each METRIC:LIMIT. A limit is a number and ``pt``, points of per cent (shares alone);
            ``%`` of the baseline; or ``x``, a factor. A sign says the direction that counts, which
            is that for the worse anyway: shares fall, the others grow.

    Raises:
        GateError: naming the text, what is accepted, and an example.

    """
    gates: dict[str, Kind] = {}
    for text in [texts] if isinstance(texts, str) else texts:
        metric, _, limit = (part.strip() for part in text.rpartition(":"))
        if metric not in KINDS:
            raise _refused(text, f"the metric is one of {', '.join(KINDS)}")
        if metric in gates:
            raise _refused(text, f"{metric} has a limit already; each metric may have one")
        gates[metric] = _with_limit(text, KINDS[metric], limit)
    return gates


def _with_limit(text: str, kind: Kind, limit: str) -> Kind:
    """Return a kind with the margin that a text gives."""
    found = _LIMIT.fullmatch(limit)
    if not found:
        raise _refused(text, "the limit is a number of 0 or more, and one of pt, % and x")
    sign, number, unit = found[1], float(found[2]), found[3]
    falls = kind.better > 0
    if unit == "pt" and not falls:
        raise _refused(text, "pt is for shares alone; give % of the baseline, or a factor x")
    if unit == "x" and falls:
        raise _refused(text, "a share falls; give pt, or % of the baseline")
    if unit == "x" and number < 1:
        raise _refused(text, "a factor is 1 or more")
    if sign and not kind.better:
        raise _refused(text, "this metric has no better or worse, so that a limit has no sign")
    if sign and (sign == "-") != falls:
        raise _refused(text, f"what is worse is that it {'falls' if falls else 'grows'}")
    if unit == "pt":
        return replace(kind, share=0.0, least=number / 100, most=math.inf)
    share = number - 1 if unit == "x" else number / 100
    return replace(kind, share=share, least=0.0, most=math.inf)


def check_measured(gates: Collection[str], measured: Collection[str]) -> None:
    """Refuse limits on metrics that a baseline has not, as they would check nothing.

    Raises:
        GateError: naming those it has.

    """
    for metric in gates:
        if metric not in measured:
            known = [name for name in KINDS if name in measured]
            raise GateError(
                f"--fail-on {metric}: the baseline has no such number, so nothing would be "
                f"checked; it has {', '.join(known)}. Leave the limit out, or make the baseline "
                "again with this lapbench"
            )


def _refused(text: str, accepted: str) -> GateError:
    return GateError(f"--fail-on: received {text!r}; {accepted}. Examples: {_EXAMPLES}")
