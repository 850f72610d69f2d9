"""A small page, made by hand, and what a page says."""

from functools import cache
from html.parser import HTMLParser
from typing import Any

import pandas as pd
from make_frames import NO_FLAGS, NOISE, SOFTMAX, WORST, frame

from lapbench.reports.leaderboard import leaderboard
from lapbench.reports.page.page import Figure, Origin, Page, PageCell, render
from lapbench.reports.published import COLUMNS, MEASURED
from lapbench.reports.robustness import headline, robustness
from lapbench.reports.statistics.comparisons import comparisons
from lapbench.results.tidy import FLAG_COLUMNS

ACCURACIES = {"softmax": 0.93, "gll": 0.98, "wnll": 0.09, "svm": None}
"""The cell of svm failed; as texts, 9.00 comes after 98.00."""
TASKS = ("digits", "karate")
DRAWING = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<svg width="100pt" height="50pt" viewBox="0 0 100 50" xmlns="http://www.w3.org/2000/svg"
 xmlns:xlink="http://www.w3.org/1999/xlink">
<metadata>made on Monday</metadata>
<defs><style type="text/css">*{stroke-linejoin: round}</style><path id="dot" d="M 0 0 h 5"/>
<clipPath id="clip"><rect width="9" height="9"/></clipPath></defs>
<!-- softmax -->
<g id="axes" clip-path="url(#clip)"><path style="fill: #ffffff; stroke: #000000" d="M 0 0 h 9"/>
<use xlink:href="#dot"/></g>
</svg>
"""
VOID = {"meta", "link", "input", "br", "hr", "img", "path", "use", "rect"}


def page(**changes: Any) -> Page:
    """Two tasks, four methods; the cells of one method failed, and one was not run."""
    records = _records()
    attacked = robustness(records)
    flags = _flags()
    cells = [
        _cell(task, method, accuracy) for task in TASKS for method, accuracy in ACCURACIES.items()
    ]
    plain: dict[str, Any] = {
        "title": "A small report",
        "records": records,
        "commands": ["lapbench run small --seeds 1 --results results/small"],
        "generator": "lapbench 0.1.0, commit 4b7e02d",
        "cells": cells,
        "origins": [
            Origin(6, "lapbench run small --jobs 2", "9cf1aab", "Python 3.11", "a machine")
        ],
        "board": leaderboard(records),
        "robustness": attacked,
        "flags": flags,
        "headline": headline(attacked, flags),
        "verdicts": ["softmax on digits: a paragraph."],
        "published": pd.DataFrame(columns=[*COLUMNS, *MEASURED]),
        "comparisons": comparisons(records),
        "statistics": ["Friedman: not made."],
        "conditions": ["Budget: 3 epochs."],
        "unfinished": ["svm on digits: failed"],
        "inapplicable": ["attack bpda on softmax: skipped"],
        "figures": [
            Figure(name, "Accuracy.", "gll 98 %, softmax 93 %", DRAWING)
            for name in ("accuracy", "again")
        ],
    }
    return Page(**{**plain, **changes})


def empty() -> Page:
    """Nothing is finished."""
    nothing = page()
    return page(
        cells=[
            PageCell(c.task, c.backbone, c.method, c.training, 0, c.key, "not run")
            for c in nothing.cells
        ],
        origins=[],
        board=leaderboard(_records().assign(status="not run", metric=None, value=None)),
        robustness=nothing.robustness.head(0),
        headline=pd.DataFrame(),
        flags=NO_FLAGS,
        verdicts=[],
        comparisons=nothing.comparisons.head(0),
        statistics=[],
        figures=[],
    )


def _records() -> pd.DataFrame:
    plain = ("", "", "", 0.0, 0, "accuracy")
    methods = {
        method: {plain: [accuracy], **SOFTMAX, NOISE: [0.7], WORST: [accuracy / 2]}
        for method, accuracy in ACCURACIES.items()
        if accuracy is not None
    }
    finished = frame(**methods)
    failed = frame(svm={}).assign(status="failed", reason="ValueError: no luck", metric=None)
    together = pd.concat([finished, failed])
    return pd.concat([together.assign(task=task) for task in TASKS])


def _flags() -> pd.DataFrame:
    rows = [
        (task, "mlp", "softmax", "natural", repetition, name, verdict, f"evidence {repetition}")
        for task in TASKS
        for repetition in (0, 1)
        for name, verdict in [
            ("white_box_wins", "fail" if repetition else "pass"),
            ("gradients_exist", "pass"),
            ("exact_adds_nothing", "not measured"),
        ]
    ]
    return pd.DataFrame(rows, columns=FLAG_COLUMNS)


def _cell(task: str, method: str, accuracy: float | None) -> PageCell:
    names = (task, "mlp", method, "natural", 0, f"{task}-{method}")
    shared = {"configuration": f"{method}: configured", "provenance": "commit: 9cf1aab"}
    if accuracy is None:
        return PageCell(
            *names,
            "failed",
            "ValueError: no luck",
            details={"traceback": "line 1\nline 2"},
            **shared,
        )
    return PageCell(*names, "ok", accuracy=accuracy, seconds=10 * accuracy, **shared)


class Parsed(HTMLParser):
    """Elements with attributes, texts by element, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def attributes(self, name: str) -> list[str]:
        return [str(attrs[name]) for _, attrs in self.elements if name in attrs]


def parse(shown: Page) -> Parsed:
    return Parsed(render(shown))


@cache
def plain() -> Parsed:
    """The page as it is made, without changes."""
    return parse(page())
