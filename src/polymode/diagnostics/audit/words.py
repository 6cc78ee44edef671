"""An objective in a sentence, and its parts as a table."""

from collections.abc import Iterator

from polymode.diagnostics.audit.objective import EffectiveObjective
from polymode.diagnostics.audit.rules.rule import number

__all__ = ["EVIDENCE", "headline", "parts", "target", "unrun"]

EVIDENCE = {
    "executed": "tested by running it",
    "partly": "its loss is tested by running it",
    "read": "not executed, read from it",
}
"""How claims about a combination of options are known, in words."""


_PLACES = {"reward": "in the reward", "loss": "in the loss", "none": "nowhere"}
_BASELINES = {
    "none": "no baseline",
    "leave_one_out": "mean of the others",
    "group_mean": "mean of the group",
    "length_mean": "mean of the group by length",
    "token_mean": "mean of the group for each token",
    "batch_mean": "mean of the batch",
    "value": "learned value",
    "greedy": "reward of the greedy completion",
}
_SCALES = {
    "none": "not divided",
    "group_std": "divided by the group's deviation",
    "batch_std": "divided by the batch's deviation",
}
_WEIGHTS = {
    "constant": "all tokens of a batch alike",
    "per_sequence": "1/|y| for a token of y",
    "times_length": "|y| for a token of y",
}


def headline(objective: EffectiveObjective) -> str:
    """Return what a run optimises, in one line.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.

    Returns
    -------
    str
        Without the framework.
    """
    o = objective
    if o.divergence == "none":
        if o.beta and o.kl_placement != "none":
            return "no regulariser in effect: the KL has no gradient"
        return "no regulariser: highest reward, whatever the diversity"
    kinds = {
        "reverse_kl": "reverse KL",
        "forward_kl": "forward KL",
        "biased": "no divergence that has a name",
    }
    of = "whole outputs" if o.level == "sequence" else "tokens"
    return f"{kinds[o.divergence]} of {of}, {_PLACES[o.kl_placement]}"


def unrun(objective: EffectiveObjective) -> Iterator[str]:
    """Yield which options were read and not executed, where others of the release were.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.

    Yields
    ------
    str
        One sentence, or nothing.
    """
    if objective.not_executed:
        yield f"Read in the sources and not executed: {', '.join(objective.not_executed)}."


def target(objective: EffectiveObjective) -> str:
    """Return the distribution that the objective asks for, as a formula.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.

    Returns
    -------
    str
        In plain text; what bends it beside is in the findings.
    """
    o = objective
    if o.divergence == "none":
        return "any distribution over the outputs of highest reward"
    if o.divergence == "biased":
        return "no closed form"
    if o.divergence == "forward_kl":
        return "token by token p(a|h) = beta q(a|h) / (L(h) - Q(h,a))"
    if o.level == "sequence":
        return "t(y) ~ q(y) exp(r(y) / beta)"
    return "token by token p(a|h) ~ q(a|h) exp(Q(h,a) / beta)"


def parts(objective: EffectiveObjective) -> Iterator[tuple[str, str, str]]:
    """Yield what an objective is made of: name, value, and fields that decided it.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.

    Yields
    ------
    tuple of str
        Name, value in words, names of fields.
    """
    o = objective
    where = "none" if o.kl_placement == "none" else f"{o.estimator} {_PLACES[o.kl_placement]}"
    yield "KL", where, "kl_placement kl_estimator kl_ratio"
    yield "target", target(o), "beta"
    if o.divergence != "none":
        yield "beta", number(o.beta) + (" (adaptive)" if o.beta_adaptive else ""), "beta"
        rates = ", ".join(f"{number(o.beta_eff(rate))} at {rate:g}" for rate in (0.1, 0.5, 0.9))
        constant = len({number(o.beta_eff(rate)) for rate in (0.1, 0.5, 0.9)}) == 1
        shown = number(o.beta_eff(0.5)) if constant else f"{rates} (success rate)"
        yield "effective beta", shown, "scale baseline"
    yield "advantage", f"{_BASELINES[o.baseline]}, {_SCALES[o.scale]}", "scale baseline"
    yield "weights", _WEIGHTS[o.aggregation], "aggregation"
    yield "clip", "acts" if o.clipping else "never acts: on-policy", "n_updates clip_low"
    sampled = [f"temperature {number(o.temperature)}"]
    sampled += [f"{name} {number(v)}" for name, v in o.truncated_sampling.items()]
    yield "sampling", ", ".join(sampled), "temperature truncated_sampling"
    yield "reference", o.reference, "reference"
    if o.drops:
        yield "left out", ", ".join(name.replace("_", " ") for name in o.drops), "drops"
    if o.entropy_coef or o.entropy_adaptive:
        yield "entropy bonus", number(o.entropy_coef), "entropy_coef"
    problems = o.anchoring_problems()
    yield "anchoring", "exact" if not problems else f"not exact: {problems[0]}", ""
