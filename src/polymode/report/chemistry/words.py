"""How a run on molecules is put into words: what it was, what came of it, and what to do."""

import math
from collections.abc import Iterator

from polymode.diagnostics.chemistry import ENDS, MoleculeFindings, MoleculeRun
from polymode.report.numbers import number, percent

__all__ = ["counted", "ending", "subtitle", "verdict"]


def counted(n: float, word: str) -> str:
    """Return a number of things.

    Parameters
    ----------
    n : float
        How many, a whole number.
    word : str
        What they are, in the singular.

    Returns
    -------
    str
        With the plural where it is due.

    Examples
    --------
    >>> counted(1, "hit"), counted(1200, "circle")
    ('1 hit', '1,200 circles')
    """
    return f"{n:,.0f} {word}{'' if n == 1 else 's'}"


def subtitle(run: MoleculeRun) -> str:
    """Return what the run was, in one line.

    Parameters
    ----------
    run : MoleculeRun
        The run.

    Returns
    -------
    str
        Target, objective, oracle and prior.
    """
    config = run.config
    names = ", ".join(run.raw) or "nothing scored yet"
    budget = config.get("oracle", {}).get("budget")
    limit = "no budget" if budget is None else f"a budget of {budget:,} calls"
    return (
        f"Target {config['target'].get('name')}, objective "
        f"{config.get('learner', {}).get('objective')}, sigma "
        f"{config.get('learner', {}).get('sigma', math.nan):g}. Oracle: {names}, {limit}; hits "
        f"from a reward of {run.threshold:g}. Prior: {config.get('prior', {}).get('model')}."
    )


def ending(run: MoleculeRun) -> str:
    """Return why the run ended.

    Parameters
    ----------
    run : MoleculeRun
        The run.

    Returns
    -------
    str
        A sentence; of a run without a result that it has not ended.
    """
    steps = counted(run.n_steps, "step")
    if run.result is None:
        return f"The run has not ended: it stands at {steps}."
    stopped = str(run.result["stopped"])
    words = ENDS.get(stopped, stopped)
    return f"{words[:1].upper()}{words[1:]}, after {steps}."


def verdict(run: MoleculeRun, findings: MoleculeFindings) -> tuple[str, ...]:
    """Return the verdict on a run in sentences.

    Parameters
    ----------
    run : MoleculeRun
        The run.
    findings : MoleculeFindings
        What it found.

    Returns
    -------
    tuple of str
        What was found for how many calls; how it ended, with signs of collapse; how far the policy
        is from what its target promised.
    """
    return (_found(run, findings), " ".join(_course(run, findings)), *_promise(run))


def _found(run: MoleculeRun, findings: MoleculeFindings) -> str:
    """Say what was found."""
    calls, n = counted(len(run.calls), "oracle call"), len(findings.hits)
    if not n:
        best = number(run.last("reward/best"))
        return f"No hit in {calls}: the best reward is {best}, the threshold {run.threshold:g}."
    scaffolds = counted(len(findings.scaffolds), "scaffold")
    top = findings.scaffolds[0].share
    return (
        f"{counted(n, 'hit')} in {calls}: {counted(findings.n_circles, 'circle')} and {scaffolds}, "
        f"of which the most frequent has {percent(top)} of the hits."
    )


def _course(run: MoleculeRun, findings: MoleculeFindings) -> Iterator[str]:
    """Say how the run went and ended."""
    yield ending(run)
    if findings.end == "collapsed":
        yield (
            f"It has collapsed: {run.alerts[-1].text}. Lower learner.sigma, anchor modes instead "
            "of strings or nothing, or put a pressure on visited modes."
        )
    elif findings.end == "recovered":
        steps = counted(len(run.alerts), "step")
        yield f"It showed signs of collapse at {steps}, the last at step {run.alerts[-1].step}."
    else:
        yield "It showed no sign of collapse."
    if not len(findings.hits):
        yield "Lower target.threshold, or give it more calls, for hits to be anchored at all."


def _promise(run: MoleculeRun) -> Iterator[str]:
    """Say how far the policy is from its target."""
    distance = run.last("target/mode_distance")
    if math.isnan(distance):
        return
    promised, measured = (
        number(run.last(f"target/effective_modes_{which}")) for which in ("promised", "measured")
    )
    yield (
        f"Promised are {promised} effective modes, measured {measured} of "
        f"{counted(run.last('target/modes'), 'mode')} that are known; total variation between "
        f"promised and measured shares is {number(distance)}."
    )
