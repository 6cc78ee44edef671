"""An audit on a terminal: the verdict first, then the findings, worst first."""

from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from polymode.diagnostics.audit import Audit, Finding
from polymode.diagnostics.audit.findings import SEVERITIES
from polymode.diagnostics.audit.words import EVIDENCE, headline, parts, unrun
from polymode.report.text import shown

__all__ = ["show"]

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_WIDTH = 100


def show(audit: Audit, console: Console) -> None:
    """Print an audit.

    Parameters
    ----------
    audit : Audit
        What was found.
    console : rich.console.Console
        Where to print.
    """
    width = min(_WIDTH, console.width)
    o = audit.objective
    console.print(Text(shown(headline(o)).upper(), style="bold"), width=width)
    told = f"{o.trainer}, {o.framework} {o.version} ({EVIDENCE[o.evidence]}); {audit.settings.name}"
    console.print(Text(shown(told, 300), style="dim"), width=width)
    console.print()
    console.print(_parts(audit), width=width)
    for finding in audit.findings:
        console.print()
        console.print(_finding(finding), width=width)
    console.print()
    for remark in (*o.remarks, *unrun(o)):
        console.print(Text(f"· {shown(remark, 400)}", style="dim"), width=width)
    console.print(Text(_count(audit), style="bold"), width=width)


def _parts(audit: Audit) -> Table:
    """Return the objective's parts, with where each was set."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_column(style="dim")
    for name, value, fields in parts(audit.objective):
        table.add_row(name, shown(value, 200), shown(_place(audit, fields), 80))
    return table


def _place(audit: Audit, fields: str) -> str:
    """Return where the first of these fields that somebody set was set."""
    sources = audit.objective.sources
    for name in fields.split():
        for setting in sources.get(name, ()):
            if setting.given:
                return f"{setting.source}"
    return ""


def _finding(finding: Finding) -> Text:
    """Return a finding: code and title, effect, place and remedy."""
    colour = _COLOURS[finding.severity]
    text = Text(f"{finding.code} {finding.severity}: {finding.title}", style=colour)
    if finding.place:
        text.append(f"  {shown(finding.place, 120)}", style="dim")
    text.append(f"\n  {shown(finding.effect, 600)}", style="default not bold")
    if finding.fix is not None:
        changes = ", ".join(f"{key}: {value}" for key, value in finding.fix.changes.items())
        line = f"\n  → {finding.fix.text}{f'  {changes}' if changes else ''}"
        text.append(shown(line, 300), style="bold default")
    return text


def _count(audit: Audit) -> str:
    """Say how many findings there are."""
    counts = Counter(finding.severity for finding in audit.findings)
    if not counts:
        return "Nothing to report: the target is the one that beta names."
    said = [f"{counts[s]} {s}{'s' * (counts[s] != 1)}" for s in SEVERITIES if counts[s]]
    worst = audit.findings[0]
    how = f"`polymode audit --explain {worst.code}` or {worst.docs}"
    return f"{', '.join(said)}. To have a code explained: {how}."
