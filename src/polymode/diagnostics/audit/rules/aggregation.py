"""PM3xx: how tokens are weighed."""

from polymode.diagnostics.audit.rules.rule import Case, Rule

__all__ = ["RULES"]


def _where(case: Case, tilted: str) -> str:
    """Return what becomes of the target."""
    if case.objective.tilts:
        return tilted
    return (
        "The target stays: the KL is in the reward, so that all advantages are zero there, and "
        "only the way to it is bent."
    )


def _per_sequence(case: Case) -> str | None:
    if case.objective.aggregation != "per_sequence":
        return None
    return (
        "A token of a completion y weighs 1/|y|: of two good outputs the shorter is reinforced "
        "more, of two bad ones the longer is punished less, each by the ratio of lengths. "
        + _where(case, "The target tilts with length.")
    )


def _unlike(case: Case) -> str | None:
    o = case.objective
    alike = o.kl_aggregation == o.aggregation
    if o.kl_placement != "loss" or o.divergence == "none" or alike:
        return None
    return (
        "The KL weighs tokens in another way than the reward does "
        f"({o.kl_aggregation.replace('_', ' ')} and {o.aggregation.replace('_', ' ')}): beta is "
        "multiplied by mean length over |y| or by its inverse, another one for each completion."
    )


def _times_length(case: Case) -> str | None:
    if case.objective.aggregation != "times_length":
        return None
    return (
        "A token of a completion y weighs |y|: long completions are reinforced and punished in "
        "proportion to their length. " + _where(case, "The target tilts towards long good outputs.")
    )


def _whole_clip(case: Case) -> str | None:
    o = case.objective
    if o.ratio_level != "sequence" or not o.clipping or o.kl_placement != "loss":
        return None
    return (
        "The ratio is that of the sequence, so the clip takes or leaves whole completions, while "
        "the KL of their tokens stays."
    )


RULES = (
    Rule(
        *("PM301", "warning", "Short completions weigh more", _per_sequence),
        *("aggregation", "constant_aggregation"),
    ),
    Rule(
        *("PM302", "error", "Reward and KL weigh tokens differently", _unlike),
        *("kl_aggregation aggregation", "constant_aggregation"),
    ),
    Rule(
        *("PM303", "warning", "Long completions weigh more", _times_length),
        *("aggregation ratio_level", "constant_aggregation"),
    ),
    Rule(
        *("PM304", "note", "The clip takes whole completions", _whole_clip),
        *("ratio_level n_updates", "token_ratio"),
    ),
)
