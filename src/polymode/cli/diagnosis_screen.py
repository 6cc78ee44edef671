"""A diagnosis on one screen of a terminal: the verdict first."""

import math
from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from polymode.diagnostics.diagnosis import POLICIES, Report, WhatIf
from polymode.metrics.intervals import Estimate
from polymode.report.diagnosis.words import SHORT, as_it_is, one, subtitle, title, told, verdict
from polymode.report.numbers import factor, interval, number, percent, signed
from polymode.report.text import shown

__all__ = ["show"]

_FIGURES = {
    "expected_reward": "expected reward",
    "mass_good": "good output, probability",
    "effective_modes_good": "effective good modes",
}
_WIDTH = 100
_BAR = 44  # characters of the longest bar of the budget
_BESIDE_BAR = 44  # characters of what stands beside it
_LABEL, _NUMBER = 18, 11  # widths of columns: heads of several words wrap, labels stay
_MOST_CHANGES, _MOST_NOTES = 7, 4


def show(report: Report, console: Console) -> None:
    """Print a diagnosis.

    Parameters
    ----------
    report : Report
        What was found.
    console : rich.console.Console
        Where to print.
    """
    width = min(_WIDTH, console.width)
    sentence, *advice = (shown(line) for line in verdict(report))
    console.print(Text(title(report).upper(), style="bold"))
    console.print(Text(sentence), width=width)
    for line in advice:
        console.print(Text(f"→ {line}", style="bold"), width=width)
    console.print(Text(shown(subtitle(report), 300), style="dim"), width=width)
    console.print()
    console.print(_figures(report), width=width)
    console.print()
    for line in _budget(report, min(_BAR, max(width - _BESIDE_BAR, 8))):
        console.print(line, no_wrap=True, overflow="crop", width=width)
    console.print()
    console.print(_changes(report), width=width)
    for line in _trust(report):
        console.print(Text(shown(line), style="dim"), width=width)


def _columns(*titles: str, widest: int | None = None) -> Table:
    """Return a table without lines, numbers to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(titles):
        if i == 0:
            table.add_column(name, min_width=_LABEL)
        else:
            table.add_column(name, justify="right", max_width=widest)
    return table


def _figures(report: Report) -> Table:
    """Return reference, target, anchored target and policy; intervals below the numbers."""
    names = [name for name in POLICIES if name in report.overall]
    table = _columns(f"{100 * report.settings.level:g} % intervals", *(SHORT[n] for n in names))
    for name, label in _FIGURES.items():
        cells = [_with_interval(report.overall[policy][name]) for policy in names]
        table.add_row(label, *cells)
    return table


def _with_interval(found: Estimate) -> Text:
    """Return a number and its interval below it."""
    text = Text(number(float(found.value)))
    return text.append(f"\n{interval(found)}", "dim") if not math.isnan(found.low) else text


def _budget(report: Report, length: int) -> Iterator[Text]:
    """Yield the waterfall, a line for each step."""
    budget = report.budget
    top = float(budget.ceiling.value)
    if math.isnan(top):
        yield Text("No prompt has two good modes within reach: there is no diversity to lose.")
        return
    yield Text("where the diversity among good modes goes, in nats and as a factor", style="dim")
    losses = {
        "reference bias": budget.reference_bias,
        "reward gaps": budget.reward_gaps,
        "optimiser": budget.optimiser,
    }
    known = {name: float(e.value) for name, e in losses.items() if e is not None}
    levels = np.cumsum([top, *(-loss for loss in known.values())])
    most = max(1e-9, *levels, top)
    yield _step(
        "good modes in reach", top, (0, top / most), f"{number(math.exp(top))} modes", length
    )
    for (name, loss), level in zip(known.items(), levels[1:].tolist(), strict=True):
        ends = (min(level, level + loss) / most, max(level, level + loss) / most)
        yield _step(name, -loss, ends, factor(-loss), length)
    left = float(budget.left.value)
    owner = "policy" if budget.optimiser is not None else "target"
    said = f"{number(math.exp(left))} modes"
    yield _step(f"left to the {owner}", left, (0, left / most), said, length)


def _step(name: str, nats: float, shares: tuple[float, float], said: str, length: int) -> Text:
    """Return one step of the waterfall, whose ends are shares of the longest bar."""
    start, end = (max(0, round(share * length)) for share in shares)
    whole = name.startswith(("good", "left"))
    bar = f"{' ' * start}{('█' if whole else '▒') * max(end - start, 0)}".ljust(length)
    colour = "cyan" if whole else "red" if nats < 0 else "green"
    amount = number(nats) if whole else signed(nats)
    return Text(f"{name:<20}{amount:>8}  ").append(bar, colour).append(f"  {said}")


def _changes(report: Report) -> Table:
    """Return what would change it."""
    table = _columns("what if", *_FIGURES.values(), "good modes kept", widest=_NUMBER)
    for found in (as_it_is(report), *report.what_ifs[:_MOST_CHANGES], *_stronger(report)):
        cells = [number(float(found.figures[name].value)) for name in _FIGURES]
        table.add_row(shown(told(found, report), 40), *cells, percent(float(found.kept.value)))
    return table


def _stronger(report: Report) -> Iterator[WhatIf]:
    """Yield the smallest larger beta of the sweep that keeps a number of modes asked for."""
    sweep = report.sweep
    for kept in report.modes_kept:
        if kept.beta > report.settings.beta:
            at = int(np.argmin(np.abs(sweep.betas - kept.beta)))
            figures = {name: one(found, at) for name, found in sweep.target.items()}
            name, reliable = f"beta {kept.beta:.3g}", float(sweep.frac_reliable[at])
            yield WhatIf("beta", name, kept.beta, figures, one(sweep.kept, at), reliable)
            break


def _trust(report: Report) -> Iterator[str]:
    """Yield how far the samples can be trusted, and what was not used."""
    found, samples = report.reliability, report.samples
    limit = report.settings.limits.prompts
    changes = (*report.what_ifs[:_MOST_CHANGES], as_it_is(report))
    if any(change.frac_reliable < limit for change in changes):
        yield f"? fewer than {percent(limit)} of the prompts can be trusted about it"
    reasons = "; ".join(f"{name}: {n:,}" for name, n in found.reasons.items())
    yield (
        f"{int(found.reliable.sum()):,} of {len(found.reliable):,} prompts are reliable"
        f"{f' ({reasons})' if reasons else ''}; half of them have {np.median(found.ess):,.0f} "
        "effective samples or more."
    )
    median = report.group_size.get("median", math.nan)
    if not math.isnan(median):
        yield (
            f"Groups of {math.ceil(median):,} samples show the rarest good mode seen with 95 % "
            "(median over prompts)."
        )
    if samples.bad_rows:
        listed = "; ".join(f"{bad.reason}: {bad.n:,}" for bad in samples.bad_rows)
        dropped = samples.n_rows - samples.n_samples
        yield f"{dropped:,} of {samples.n_rows:,} rows were dropped: {listed}."
    yield from (f"· {note}" for note in report.notes[:_MOST_NOTES])
    if (n_more := len(report.notes) - _MOST_NOTES) > 0:
        yield f"· {n_more} more in --html and --json"
