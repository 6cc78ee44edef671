"""From numbers to a verdict, and to the sentence that a colleague would say."""

import math
from dataclasses import dataclass

from polymode.diagnostics.diagnosis.report import Verdict, VerdictKind
from polymode.diagnostics.diagnosis.settings import VerdictLimits
from polymode.metrics.intervals import Estimate

__all__ = ["Evidence", "decide", "say"]


@dataclass(frozen=True)
class Evidence:
    """What a verdict is made from; NaN where it is not known.

    Parameters
    ----------
    n_good : float
        Good modes within reach.
    kept : Estimate
        Share of the effective good modes that the target keeps.
    entropy : Estimate
        Entropy of the target over good modes within reach.
    difference : Estimate
        What reward gaps lose less what reference bias loses, in nats.
    mass_good : Estimate
        Probability of a good output under the target.
    policy_mass_good : Estimate or None
        Likewise under the policy.
    optimiser : Estimate or None
        What the policy has lost against its own target, in nats.
    doubts : tuple of str
        Why the samples cannot be trusted; empty where they can.
    """

    n_good: float
    kept: Estimate
    entropy: Estimate
    difference: Estimate
    mass_good: Estimate
    policy_mass_good: Estimate | None
    optimiser: Estimate | None
    doubts: tuple[str, ...]


def decide(found: Evidence, limits: VerdictLimits) -> tuple[VerdictKind, tuple[str, ...]]:
    """Return the kind of verdict, and why nothing can be told where that is so.

    Parameters
    ----------
    found : Evidence
        The numbers.
    limits : VerdictLimits
        The limits between verdicts.

    Returns
    -------
    kind : str
        One of `VERDICTS`.
    reasons : tuple of str
        For "cannot_tell".
    """
    if found.doubts:
        return "cannot_tell", found.doubts
    if not found.n_good > 0:
        return "cannot_tell", ("no good output within reach of the samples",)
    if math.isnan(found.kept.value):  # a single good mode: nothing to lose
        return _optimised(found, limits), ()
    many = math.log(limits.many)
    if found.kept.low >= limits.kept or found.entropy.low >= many:
        return _optimised(found, limits), ()
    if not (found.kept.high < limits.kept and found.entropy.high < many):
        return "cannot_tell", (
            f"the share of good modes kept lies between {found.kept.low:.0%} and "
            f"{found.kept.high:.0%}, on both sides of {limits.kept:.0%}",
        )
    if found.difference.low > 0:
        return "collapsed_by_reward_gaps", ()
    if found.difference.high < 0:
        return "collapsed_by_reference_bias", ()
    return "cannot_tell", ("collapsed, but reward gaps and reference bias weigh alike",)


def _optimised(found: Evidence, limits: VerdictLimits) -> VerdictKind:
    """Return the verdict on a target that is not collapsed."""
    mass, lost = found.policy_mass_good, found.optimiser
    behind = mass is not None and mass.high < limits.on_target * found.mass_good.low
    narrowed = lost is not None and lost.low > -math.log(limits.kept)
    return "not_optimised_yet" if behind or narrowed else "healthy"


def say(kind: VerdictKind, reasons: tuple[str, ...], numbers: dict[str, float]) -> Verdict:
    """Return a verdict in words.

    Parameters
    ----------
    kind : str
        The kind.
    reasons : tuple of str
        Why nothing can be told.
    numbers : dict
        The numbers that decided; see `Verdict`.

    Returns
    -------
    Verdict
        With its sentence and advice.
    """
    sentence, advice = _SAY[kind](numbers)
    if kind == "cannot_tell":
        sentence = f"{sentence} {'; '.join(reasons)}."
    return Verdict(kind, sentence, advice, reasons or _held(numbers), numbers)


def _held(x: dict[str, float]) -> tuple[str, ...]:
    """Say what was tested and held."""
    out = [f"{x['frac_reliable']:.0%} of the prompts can be trusted"]
    if not math.isnan(x["kept"]):
        out.append(f"kept {x['kept']:.0%} ({x['kept_low']:.0%} to {x['kept_high']:.0%})")
    return tuple(out)


def _modes(x: dict[str, float]) -> str:
    """Say how many of how many good modes are left."""
    return f"{x['effective_modes_good']:.1f} of {x['n_good_modes']:.1f} good modes"


def _healthy(x: dict[str, float]) -> tuple[str, str]:
    """Say that all is well."""
    if math.isnan(x["kept"]):
        return "There is a single good mode within reach: no diversity to lose.", ""
    low = x["mass_good"] < 0.5
    tail = f", though only {x['mass_good']:.0%} of its outputs would be good" if low else ""
    advice = "Lower beta to get more good outputs, and look at the sweep." if low else ""
    return f"Your objective keeps {_modes(x)} in effect{tail}.", advice


def _by_gaps(x: dict[str, float]) -> tuple[str, str]:
    """Say that reward gaps collapse the target."""
    return (
        f"Your objective asks for collapse: at its optimum {_modes(x)} are left in effect, because "
        f"differences between good rewards, divided by beta, cost {x['reward_gaps']:.1f} nats.",
        "Raise beta, make good rewards equal, or anchor the good modes.",
    )


def _by_bias(x: dict[str, float]) -> tuple[str, str]:
    """Say that the reference's ratios collapse the target."""
    return (
        f"Your objective asks for collapse: at its optimum {_modes(x)} are left in effect, because "
        f"good modes keep the ratios of the reference, which costs {x['reference_bias']:.1f} nats.",
        "No beta mends that: anchor the good modes.",
    )


def _not_yet(x: dict[str, float]) -> tuple[str, str]:
    """Say that the policy is behind its target."""
    return (
        f"Your objective keeps {_modes(x)} in effect, but the policy is not there: it gives good "
        f"outputs with {x['policy_mass_good']:.0%} instead of {x['mass_good']:.0%}, and has lost "
        f"{x['optimiser']:.1f} nats of diversity against its target.",
        "The objective is not to blame: train on, or look at the optimiser.",
    )


def _cannot(_: dict[str, float]) -> tuple[str, str]:
    """Say that nothing can be said."""
    return "I cannot tell from these samples:", "Draw more samples of each prompt."


_SAY = {
    "healthy": _healthy,
    "collapsed_by_reward_gaps": _by_gaps,
    "collapsed_by_reference_bias": _by_bias,
    "not_optimised_yet": _not_yet,
    "cannot_tell": _cannot,
}
