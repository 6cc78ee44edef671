"""PM6xx: what is left out, and what a group can show."""

from polymode.diagnostics.audit.objective import OWN_MEANS
from polymode.diagnostics.audit.rules.rule import Case, Rule

__all__ = ["RULES"]

_SMALL_GROUP = 8


def _zero_variance(case: Case) -> str | None:
    if "zero_variance" not in case.objective.drops:
        return None
    return (
        "Groups whose rewards are all equal are dropped: the objective is that of groups with both "
        "outcomes. Solved prompts feel no KL any more, and under anchoring their groups would have "
        "carried the signal that keeps good outputs apart."
    )


def _only_kl(case: Case) -> str | None:
    o = case.objective
    idle = "zero_variance" in o.drops
    if o.kl_placement != "loss" or o.divergence == "none" or idle or o.baseline not in OWN_MEANS:
        return None
    return (
        "Groups whose rewards are all equal have no reward gradient and keep their KL: prompts "
        "that are always or never solved are pulled back to the reference. That is right for this "
        "objective; masking them would leave nothing that holds solved prompts."
    )


def _cut_off(case: Case) -> str | None:
    if "truncated" not in case.objective.drops:
        return None
    return (
        "Completions that hit the length limit do not count: the objective is that of outputs "
        "which end, and running out of length costs nothing."
    )


def _dropped(case: Case) -> str | None:
    found = [name for name in ("off_policy", "sampler_mismatch") if name in case.objective.drops]
    if not found:
        return None
    return (
        "Completions whose probability has moved too far are dropped "
        f"({', '.join(name.replace('_', ' ') for name in found)}): these are the unlikely ones "
        "first, so rare outputs are under-represented in the reward."
    )


def _tokens(case: Case) -> str | None:
    o = case.objective
    if "low_entropy_share" in o.drops:
        return (
            "The mask of tokens of low entropy meets a ratio that all tokens of a completion "
            "share: it drops no token, and each completion counts by its share of tokens of high "
            "entropy."
        )
    found = [name for name in ("low_entropy", "high_covariance") if name in o.drops]
    if not found:
        return None
    named = " and ".join(name.replace("_", " ") for name in found)
    in_loss = o.divergence != "none" and o.kl_placement == "loss"
    kl = " The KL still acts on all tokens, and wins on those." if in_loss else ""
    return f"Tokens of {named} get no reward gradient.{kl}"


def _range(case: Case) -> str | None:
    if "outside_range" not in case.objective.drops:
        return None
    return (
        "Groups are kept only while their mean reward lies in a range: prompts leave the objective "
        "as they are solved."
    )


def _small_group(case: Case) -> str | None:
    n = case.objective.group_size
    if n is None or n >= _SMALL_GROUP:
        return None
    return (
        f"With {n} completions a good output of probability .1 is missing from "
        f"{0.9**n:.0%} of the groups: what is not sampled is neither rewarded nor anchored."
    )


RULES = (
    Rule(
        *("PM601", "warning", "Groups with equal rewards are dropped", _zero_variance),
        *("drops", "keep_all"),
    ),
    Rule("PM602", "note", "Groups with equal rewards feel the KL alone", _only_kl, "kl_placement"),
    Rule(
        *("PM603", "warning", "Cut-off completions do not count", _cut_off),
        *("drops", "keep_all"),
    ),
    Rule(
        *("PM604", "warning", "Completions are dropped by their probability", _dropped),
        *("drops", "keep_all"),
    ),
    Rule(
        *("PM605", "warning", "Some tokens get no reward", _tokens),
        *("drops", "keep_all"),
    ),
    Rule(
        *("PM606", "warning", "Groups are kept by their mean reward", _range),
        *("drops", "keep_all"),
    ),
    Rule("PM607", "note", "Groups are small", _small_group, "group_size"),
)
