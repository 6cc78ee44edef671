"""`polymode audit`: which objective a configuration really optimises."""

import json
import shlex
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from polymode.cli.runs import check_outputs
from polymode.errors import InputError
from polymode.files import write_json, write_text

if TYPE_CHECKING:
    from polymode.diagnostics.audit import Audit

HELP = (
    "Tell which objective a configuration really optimises.\n\n"
    "CONFIG is the configuration that you train with, of TRL, verl and others: YAML, JSON or TOML, "
    "a shell script with the command that starts the run, or that command in quotes. Overrides "
    "follow it: key=value, or -- --key value. Nothing is run and no model is needed.\n\n"
    "Prints which divergence the gradient descends, with which effective beta, whether anchored "
    "rewards would be exact, and then what is not as it seems, worst first. Each finding has a "
    "code that stays, the line of the file, and what mends it; --explain derives a code. For "
    "example:\n\n"
    "polymode audit grpo.yaml --strict error\n\n"
    "polymode audit grpo.yaml --fix corrected.yaml -- --beta 0.01\n\n"
    "polymode audit 'trl rloo --beta 0.05' --simulate ends.png\n\n"
    "polymode audit --explain PM201"
)

Severity = Literal["error", "warning", "note"]


def audit(
    config: Annotated[
        str | None, typer.Argument(help="File, or a command in quotes.", show_default=False)
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value; after --, also --key value.", show_default=False),
    ] = None,
    framework: Annotated[
        str | None,
        typer.Option(help="Whose configuration: trl, verl, …; trl:rloo names the trainer, too."),
    ] = None,
    release: Annotated[
        str | None,
        typer.Option("--version", help="Its version. Default: the one installed, else the newest."),
    ] = None,
    strict: Annotated[
        Severity | None,
        typer.Option(help="Exit with 1 if there is a finding of this severity or worse."),
    ] = None,
    as_json: Annotated[
        Path | None,
        typer.Option("--json", help="Write everything here; `-` prints it instead of the page."),
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(help="Write a corrected copy here, comments kept; YAML only."),
    ] = None,
    fix_from: Annotated[
        Severity, typer.Option(help="What --fix mends: findings of this severity or worse.")
    ] = "warning",
    simulate: Annotated[
        Path | None,
        typer.Option(help="Draw here where the update rule ends on a two-step toy: .png, .svg, …"),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(help="Print what a code such as PM201 means, and read no CONFIG."),
    ] = None,
    unknown: Annotated[
        Literal["refuse", "note"],
        typer.Option(help="Options that look misspelt: stop, or note them and go on."),
    ] = "refuse",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files, CONFIG itself included.")
    ] = False,
) -> None:
    """Read, audit, print."""
    if explain is not None:
        _explain(explain)
        return
    if config is None:
        raise InputError("CONFIG must be a file or a command; --explain CODE needs none")
    check_outputs({"--fix": fix, "--simulate": simulate}, as_json, overwrite=overwrite)
    from polymode.diagnostics.audit import audit_config

    found = audit_config(
        _source(config),
        framework=framework,
        version=release,
        overrides=overrides or (),
        unknown=unknown,
    )
    written: list[Path] = []
    if fix is not None:
        written += _fixed(found, config, fix, fix_from)
    if simulate is not None:
        from polymode.plots.audit import save_audit_figure

        written.append(save_audit_figure(found.objective, simulate))
    if as_json is not None and str(as_json) != "-":
        written.append(write_json(as_json, found.to_dict(), indent=None))
    _show(found, as_json)
    for path in written:
        typer.echo(f"wrote {path}", err=str(as_json) == "-")
    if strict is not None and _reaches(found, strict):
        raise typer.Exit(1)


def _explain(code: str) -> None:
    """Print what a code means, in lines that a terminal can hold."""
    from polymode.diagnostics.audit.explaining import explanation

    for part in explanation(code).split("\n\n"):
        lines = part if part.startswith("$$") else fill(part, 100, break_long_words=False)
        typer.echo(f"{lines}\n")


def _source(config: str) -> str | list[str]:
    """Return the path of a file, or the words of a command."""
    if " " not in config.strip() or Path(config).exists():
        return config
    try:
        return shlex.split(config)
    except ValueError as error:
        raise InputError(f"the command cannot be read: {error}") from error


def _fixed(found: "Audit", config: str, out: Path, severity: Severity) -> list[Path]:
    """Write the corrected copy, if there is anything to correct."""
    from polymode.diagnostics.audit.fixing import corrected

    changes = found.fix(severity)
    if not Path(config).is_file():
        raise InputError("--fix needs a file, and the configuration is a command")
    if not changes:
        typer.echo(f"nothing to fix at severity {severity}: {out} was not written", err=True)
        return []
    return [write_text(out, corrected(Path(config), changes))]


def _show(found: "Audit", as_json: Path | None) -> None:
    """Print the page, or the numbers."""
    if str(as_json) == "-":
        print(json.dumps(found.to_dict(), allow_nan=False))
        return
    from polymode.cli.audit_screen import show

    show(found, Console())


def _reaches(found: "Audit", severity: Severity) -> bool:
    """Return whether the worst finding is as bad as that."""
    from polymode.diagnostics.audit.findings import SEVERITIES

    worst = found.worst()
    return worst is not None and SEVERITIES.index(worst) <= SEVERITIES.index(severity)
