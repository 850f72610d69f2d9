"""The commands on several runs: ``compare`` and ``history``."""

import sys
from pathlib import Path

import click

from lapbench.cli.errors import explained_errors
from lapbench.cli.run import names

_REGRESSION = 1
_METRICS = (
    "accuracy, outer_accuracy, robust_accuracy, negative_log_likelihood, solve_iterations, "
    "gradient_error, saved_megabytes, first_step_loss, first_step_length, step_ratio, stage_ratio"
)


@click.command(
    short_help="Say what became better or worse between two results folders.",
    epilog=f"Compared: {_METRICS}. Seconds are not, as they mean nothing across machines.",
)
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--fail-on",
    multiple=True,
    metavar="METRIC:LIMIT",
    help="Let only this metric (and cells and data) decide, with this limit: a number with pt "
    "(points of per cent), % (of the baseline) or x (a factor). May be repeated.",
)
@click.option("--all", "every", is_flag=True, help="Also print lines that are the same.")
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append the comparison to a Markdown file, such as the summary of a CI job.",
)
def compare(
    baseline: Path, results: Path, fail_on: tuple[str, ...], every: bool, markdown: Path | None
) -> None:
    """Compare the results folder RESULTS with BASELINE, that of an earlier commit.

    One line for every task, method and metric has the change, its 95 % interval and a verdict:
    better, same, worse, changed, or not enough samples. Other data and settings are named. Exits
    with 1 if a line is worse or changed.

    Accuracies are worse beyond 1 point (3 under attack) if the paired t test over at least 5
    repetitions, corrected for the number of methods that moved, is significant. Ratios of times
    to softmax are worse beyond a factor of 1.5 if a rank test over at least 4 repetitions is
    significant. Other numbers need no test, as equal code and seeds repeat them.

    \b
    Examples:
      lapbench compare reports/records/baseline results/smoke
      lapbench compare monday tuesday --all
      lapbench compare monday tuesday --fail-on accuracy:-1pt
    """  # noqa: D301 - click takes the character for "keep these lines".
    with explained_errors():
        from lapbench.cli.terminal_tracking import append_markdown, print_comparison
        from lapbench.tracking.regression import compare as compare_runs

        comparison = compare_runs(baseline, results, fail_on)
        print_comparison(comparison, every)
        if markdown:
            append_markdown(comparison, every, markdown)
        if comparison.regressed:
            sys.exit(_REGRESSION)


@click.command(short_help="Draw the numbers of one suite from commit to commit.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Default: FOLDER/history.")
@click.option("--metrics", metavar="NAME,…", help=f"Only these of {_METRICS}. Default: all.")
def history(folder: Path, output: Path | None, metrics: str | None) -> None:
    """Draw the numbers of one suite from commit to commit, from the runs in FOLDER.

    Every results folder in FOLDER, at any depth, is a run. Writes one figure for each metric as
    SVG, PDF and PNG, and history.csv with the same numbers. Lists the runs in the order of time,
    and names folders that cannot be read.

    Vertical lines mark where the processor, torch or the data changed. Seconds are not drawn, as
    they depend on the machine. `lapbench compare` tests the difference between two runs.

    \b
    Examples:
      lapbench run smoke --results past/$(git rev-parse --short HEAD)
      lapbench history past
      lapbench history past --metrics accuracy,step_ratio --output figures
    """  # noqa: D301
    with explained_errors():
        from lapbench.cli.terminal_tracking import print_history
        from lapbench.tracking.history import write_history

        print_history(write_history(folder, output, names(metrics)))
