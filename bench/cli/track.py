"""The command line's commands on several runs: ``compare`` and ``history``."""

import sys
from pathlib import Path

import click

from lapbench.cli.errors import explained_errors
from lapbench.cli.run import names

_REGRESSION = 1


@click.command(
    epilog="Compared: accuracy, outer_accuracy, robust_accuracy of every attack, "
    "negative_log_likelihood; solve_iterations, gradient_error, step_megabytes, first_step_loss, "
    "first_step_length; "
    "step_ratio and the stage_ratio of every stage. Absolute times never are, as they mean nothing "
    "across machines."
)
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--fail-on",
    multiple=True,
    metavar="METRIC:LIMIT",
    help="Let only these metrics (and cells and data) decide, each with this limit: a number and "
    "pt (points of per cent), % of the baseline, or x (a factor). May be repeated.",
)
@click.option("--all", "every", is_flag=True, help="Print the lines that are the same, too.")
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append the same to a file in Markdown: the summary of a CI job, say.",
)
def compare(
    baseline: Path, results: Path, fail_on: tuple[str, ...], every: bool, markdown: Path | None
) -> None:
    """Compare the results folder RESULTS with BASELINE, that of an earlier commit.

    A line for every task, method and metric says what changed, with its 95 % interval, and whether
    it is better, the same, worse, or not enough samples to say. Sentences name the cause where it
    is known: other data, other settings. Exits with 1 if a line is worse or changed.

    \b
    Accuracies are worse if the paired t test over repetitions (5 at least), corrected for the
    number of methods that moved at all, is significant and the change is beyond a margin (1
    point; 3 points under an attack). Ratios of times to softmax are worse beyond a factor of
    1.5, if a rank test (4 repetitions at least) agrees. Equal code and seeds give the other
    numbers again on every machine, up to rounding, so that these need no test.

    \b
    Examples:
      lapbench compare reports/records/baseline results/smoke
      lapbench compare monday tuesday --all
      lapbench compare monday tuesday --fail-on accuracy:-1pt --fail-on step_ratio:50%
    """  # noqa: D301 - click takes the character for "keep these lines".
    with explained_errors():
        from lapbench.cli.terminal_tracking import append_markdown, print_comparison
        from lapbench.tracking.regression import compare as compare_runs

        found = compare_runs(baseline, results, fail_on)
        print_comparison(found, every)
        if markdown:
            append_markdown(found, every, markdown)
        if found.regressed:
            sys.exit(_REGRESSION)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Default: FOLDER/history.")
@click.option(
    "--metrics",
    metavar="NAME,…",
    help="Only these of accuracy, robust_accuracy, step_ratio, stage_ratio, step_megabytes, "
    "gradient_error, solve_iterations. Default: all that any run has.",
)
def history(folder: Path, output: Path | None, metrics: str | None) -> None:
    """Draw how the numbers of one suite went from commit to commit, from the runs in FOLDER.

    Every results folder in it, at any depth, is a run; keep one for each commit. Writes a figure
    for each metric as SVG, PDF and PNG (panels by task, a line for each method), and history.csv
    with what they show, and lists the runs in the order of time. Folders that cannot be read are
    named and left out.

    Lines mark where the processor, torch or the data changed, as numbers before and after may not
    be comparable. Seconds are never drawn: they are those of one machine and of how busy it was;
    ratios to softmax, which is timed in turn in the same process, can be compared. `lapbench
    compare` tests the difference between two of the runs.

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
