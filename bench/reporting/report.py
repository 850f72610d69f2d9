"""The report of results folders: page, tables and figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lapbench import discovery
from lapbench.errors import LapbenchError
from lapbench.reporting.page_data import make_page
from lapbench.reporting.summary import summarise
from lapbench.reports.about import alternative, needs, title
from lapbench.reports.latex import leaderboard_latex, robustness_latex
from lapbench.reports.leaderboard import further_numbers, to_csv, to_markdown
from lapbench.reports.page.page import Figure, render
from lapbench.reports.published import readable_published
from lapbench.reports.report import Report
from lapbench.reports.results import Results
from lapbench.reports.robustness import each_attack
from lapbench.reports.statistics.comparisons import readable_comparisons
from lapbench.reports.style import paper, save
from lapbench.results.collect import Collected, collect
from lapbench.results.folder import RecordError


class FigureError(LapbenchError):
    """The data of a named figure are missing."""


def write_report(
    results: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    figures: str | Sequence[str] = (),
) -> Report:
    """Write page, tables and figures of results folders, and return them.

    Args:
        results: a folder that ``run`` wrote, or several, which become one report.
        output: where ``index.html``, the tables and ``figures/`` go; by default into the results
            folder.
        figures: names; by default every figure whose data are there.

    Raises:
        RecordError: if a folder is not a results folder, if folders contradict each other, or if
            several are given without an output.
        UnknownNameError: if there is no figure of a name.
        FigureError: if the data of a figure that was named are missing.

    """
    collected = collect(results)
    target = _target(results, output)
    wanted = [figures] if isinstance(figures, str) else figures
    report = summarise(collected)
    drawings = _draw(report, collected, target / "figures", wanted)
    _write_tables(report, target)
    page = target / "index.html"
    page.write_text(render(make_page(collected, report, drawings)), encoding="utf-8")
    report.files.insert(0, page)
    return report


def _target(results: str | Path | Sequence[str | Path], output: str | Path | None) -> Path:
    if output:
        return Path(output)
    folders = [results] if isinstance(results, str | Path) else list(results)
    if len(folders) > 1:
        raise RecordError(
            f"output: received none for {len(folders)} results folders; must be a folder for the "
            "report; give it with --output (from Python output=…)"
        )
    return Path(folders[0])


def _draw(
    report: Report, collected: Collected, folder: Path, wanted: Sequence[str]
) -> list[Figure]:
    """Write the figures that were named, or all whose data are there, and return them."""

    def arrays(key: str) -> dict[str, Any]:
        return collected.homes[key].read_arrays(key) if key in collected.homes else {}

    def curves(key: str) -> dict[str, list[float | None]]:
        return collected.records[key].curves if key in collected.records else {}

    folder.mkdir(parents=True, exist_ok=True)
    results = Results(report.records, arrays, curves, report.published)
    drawings = []
    names = wanted or discovery.names("figures")
    for name, module in {name: discovery.load("figures", name) for name in names}.items():
        try:
            files, drawing = _draw_one(name, module, results, folder)
        except Exception as error:
            reason = f"figure {name}: failed ({type(error).__name__}: {error})"
            if wanted:
                raise FigureError(reason) from error
            report.unfinished.append(reason)
            continue
        if drawing is None and wanted:
            raise FigureError(f"figure {name}: there are no data for it. {needs(module)}")
        report.files.extend(files)
        drawings += [drawing] if drawing else []
    return drawings


def _draw_one(
    name: str, module: Any, results: Results, folder: Path
) -> tuple[list[Path], Figure | None]:
    with paper():
        figure = module.draw(results)
    if figure is None:
        return [], None
    files = save(figure, folder, name)
    svg = files[0].read_text(encoding="utf-8")
    return files, Figure(name, title(module), alternative(module, results), svg)


def _write_tables(report: Report, folder: Path) -> None:
    texts = {
        "leaderboard.md": _markdown(report),
        "leaderboard.tex": leaderboard_latex(report.board, report.published, report.title),
        "leaderboard.csv": to_csv(report.board),
        "comparisons.csv": to_csv(report.comparisons),
    }
    if not report.headline.empty:
        texts["robustness.tex"] = robustness_latex(report.headline, report.title)
    if not report.robustness.empty:
        texts["robustness.csv"] = to_csv(report.robustness)
    if not report.published.empty:
        texts["published.csv"] = to_csv(report.published)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    report.files[:0] = [folder / name for name in texts]


def _markdown(report: Report) -> str:
    parts = [f"# {report.title}", to_markdown(report.board, report.published)]
    further = further_numbers(report.board)
    if not further.empty:
        parts.append(f"Numbers of single methods:\n\n{_table(further)}")
    if not report.robustness.empty:
        parts += [
            "## Robustness",
            _table(report.headline),
            _listed(report.verdicts),
            _table(each_attack(report.robustness)),
        ]
    if not report.published.empty:
        parts += ["## Published and measured", _table(readable_published(report.published))]
    compared = readable_comparisons(report.comparisons)
    parts += ["## Comparisons", _table(compared), _listed(report.statistics)]
    parts += ["## Conditions", _listed(report.conditions)]
    if report.inapplicable:
        parts.append(f"Attacks that do not apply:\n\n{_listed(report.inapplicable)}")
    if report.unfinished:
        parts.append(f"Cells without a result:\n\n{_listed(report.unfinished)}")
    return "\n\n".join(parts) + "\n"


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(table: pd.DataFrame) -> str:
    escaped = table.map(lambda text: str(text).replace("|", r"\|"))
    return str(escaped.to_markdown(index=False, disable_numparse=True))
