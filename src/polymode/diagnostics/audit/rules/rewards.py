"""PM2xx: what becomes of rewards, and of beta beside them."""

import math

from polymode.diagnostics.audit.objective import OWN_MEANS
from polymode.diagnostics.audit.rules.rule import Case, Rule, beta_range, number

__all__ = ["RULES"]


def _beside_the_kl(case: Case) -> bool:
    """Return whether rewards are transformed and a KL beside them is not."""
    return case.objective.divergence != "none" and not case.objective.kl_in_advantage


def _group_deviation(case: Case) -> str | None:
    o = case.objective
    if o.scale != "group_std" or not _beside_the_kl(case):
        return None
    if o.group_size is None:
        return (
            "Rewards are divided by the deviation of their group, and the KL is not: the effective "
            f"beta is {number(o.beta)} times that deviation, another one for each prompt and step."
        )
    return (
        "Rewards are divided by the deviation of their group, and the KL is not: beta = "
        f"{number(o.beta)} acts as {beta_range(o)} in groups of {o.group_size}. No policy is the "
        "optimum for all prompts, and solved prompts drift furthest from the reference."
    )


def _batch_deviation(case: Case) -> str | None:
    o = case.objective
    if o.scale != "batch_std" or not _beside_the_kl(case):
        return None
    return (
        "Advantages are divided by the deviation of the batch, and the KL is not: beta = "
        f"{number(o.beta)} acts as {beta_range(o, 'batch')}, and changes from batch to batch."
    )


def _scaled_alike(case: Case) -> str | None:
    o = case.objective
    if o.scale == "none" or o.divergence == "none" or not o.kl_in_advantage:
        return None
    over = "group" if o.scale == "group_std" else "batch"
    return (
        f"Reward and KL are divided by the deviation of the {over} together: the target stays, and "
        "prompts differ in the size of their steps."
    )


def _shrunk(case: Case) -> str | None:
    o = case.objective
    if o.baseline not in OWN_MEANS or o.scale != "none" or not _beside_the_kl(case):
        return None
    if o.group_size is None:
        return "The mean of the group contains the completion itself: beta acts as beta G/(G-1)."
    return (
        "The mean of the group contains the completion itself, so rewards count (G-1)/G and the KL "
        f"fully: beta = {number(o.beta)} acts as {number(o.beta_eff(0.5))} in groups of "
        f"{o.group_size}."
    )


def _reward_clip(case: Case) -> str | None:
    o = case.objective
    if "clipped" not in o.reward_transformations and o.reward_clip is None:
        return None
    low, high = o.reward_clip or (math.nan, math.nan)
    return (
        f"Rewards are clipped to [{number(low)}, {number(high)}]: all above count the same, and "
        "the target is that of the clipped reward."
    )


def _each_standardised(case: Case) -> str | None:
    if "each_standardised" not in case.objective.reward_transformations:
        return None
    return (
        "Each reward function is standardised in its group before the sum: its scale and weight "
        "mean nothing but a ratio of deviations, and a function that hardly varies counts as much "
        "as one that decides."
    )


def _reward_weight(case: Case) -> str | None:
    o = case.objective
    if o.reward_weight == 1 or math.isnan(o.reward_weight) or not _beside_the_kl(case):
        return None
    return (
        f"The clamp of the ratio leaves rewards {number(o.reward_weight)} of their weight even "
        f"on-policy, and the KL all of it: beta = {number(o.beta)} acts as at least "
        f"{number(o.beta / o.reward_weight)}."
    )


def _other(case: Case) -> str | None:
    known = {"clipped", "each_standardised"}
    others = [name for name in case.objective.reward_transformations if name not in known]
    if not others:
        return None
    listed = ", ".join(name.replace("_", " ") for name in others)
    return f"Rewards are changed before they count ({listed}): the target is that of what is left."


RULES = (
    Rule(
        *("PM201", "error", "Beta depends on the success rate", _group_deviation),
        *("scale kl_placement beta", "no_scale"),
    ),
    Rule(
        *("PM202", "warning", "Beta depends on the batch", _batch_deviation),
        *("scale kl_placement beta", "no_scale"),
    ),
    Rule(
        *("PM203", "note", "A deviation changes the step only", _scaled_alike),
        *("scale kl_placement", "no_scale"),
    ),
    Rule(
        *("PM204", "note", "The baseline contains the completion", _shrunk),
        *("group_size baseline", "leave_one_out"),
    ),
    Rule(
        *("PM205", "warning", "Rewards are clipped", _reward_clip),
        *("reward_clip reward_transformations", "no_reward_clip"),
    ),
    Rule(
        *("PM206", "warning", "Rewards are standardised one by one", _each_standardised),
        *("reward_transformations", "sum_rewards"),
    ),
    Rule(
        *("PM207", "error", "Rewards weigh less than the KL", _reward_weight),
        *("reward_weight", "unit_reward_weight"),
    ),
    Rule("PM208", "note", "Rewards are transformed", _other, "reward_transformations"),
)
