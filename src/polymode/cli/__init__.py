"""The command line: one file per verb; each parses, calls and prints."""

import sys

import typer

from polymode.cli.audit import HELP as AUDIT_HELP
from polymode.cli.audit import audit
from polymode.cli.bench import HELP as BENCH_HELP
from polymode.cli.bench import app as bench
from polymode.cli.compare import HELP as COMPARE_HELP
from polymode.cli.compare import compare
from polymode.cli.demo import HELP as DEMO_HELP
from polymode.cli.demo import demo
from polymode.cli.diagnose import HELP as DIAGNOSE_HELP
from polymode.cli.diagnose import diagnose
from polymode.cli.ensemble import HELP as ENSEMBLE_HELP
from polymode.cli.ensemble import ensemble
from polymode.cli.evaluate import HELP as EVALUATE_HELP
from polymode.cli.evaluate import evaluate
from polymode.cli.paper import HELP as PAPER_HELP
from polymode.cli.paper import app as paper
from polymode.cli.prior import HELP as PRIOR_HELP
from polymode.cli.prior import app as prior
from polymode.cli.score import HELP as SCORE_HELP
from polymode.cli.score import score
from polymode.cli.train import HELP as TRAIN_HELP
from polymode.cli.train import app as train
from polymode.errors import PolymodeError

app = typer.Typer(
    name="polymode",
    help=(
        "Reinforcement learning that keeps every good answer.\n\n"
        "KL-regularised RL collapses because its optimum is collapsed. polymode tells which "
        "distribution an objective asks for, and trains models whose optimum is flat over all "
        "good answers.\n\n"
        "Start with `polymode demo`."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", help=DEMO_HELP)(demo)
app.command("diagnose", help=DIAGNOSE_HELP)(diagnose)
app.command("audit", help=AUDIT_HELP)(audit)
app.add_typer(train, name="train", help=TRAIN_HELP)
app.command("evaluate", help=EVALUATE_HELP)(evaluate)
app.command("score", help=SCORE_HELP)(score)
app.command("compare", help=COMPARE_HELP)(compare)
app.command("ensemble", help=ENSEMBLE_HELP)(ensemble)
app.add_typer(prior, name="prior", help=PRIOR_HELP)
app.add_typer(paper, name="paper", help=PAPER_HELP)
app.add_typer(bench, name="bench", help=BENCH_HELP)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"polymode {version('polymode')}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=_show_version, is_eager=True
    ),
) -> None:
    """Hold the options that stand before the verb; with it the app stays a group of verbs."""


def main() -> None:
    """Run the command line: an error of ours is one line on stderr and exit code 2."""
    try:
        app()
    except (PolymodeError, OSError) as error:  # OSError: a full disk, a directory of somebody else
        typer.echo(f"polymode: {' '.join(str(error).split())}", err=True)
        sys.exit(2)
