"""PM1xx: which divergence, if any."""

import math

from polymode.diagnostics.audit.rules.rule import Case, Rule, number

__all__ = ["RULES", "TELLING"]

TELLING = 1000
"""Factor between outputs whose rewards differ by .1, from which it is worth a word."""


def _no_regulariser(case: Case) -> str | None:
    o = case.objective
    if o.kl_placement != "none" and o.beta != 0:
        return None
    return (
        "Nothing holds the policy near the reference: every policy of highest reward is optimal, "
        "from all good outputs to a single one. Which one the run ends at, its dynamics decide."
    )


def _no_gradient(case: Case) -> str | None:
    o = case.objective
    if o.kl_placement != "loss" or o.beta == 0 or o.divergence != "none":
        return None
    return (
        f"{o.estimator} in the loss has the expected gradient 0 on-policy, for E[grad log p] = 0: "
        f"beta = {number(o.beta)} weighs a number that is logged and does nothing but add noise."
    )


def _forward(case: Case) -> str | None:
    o = case.objective
    if o.divergence != "forward_kl":
        return None
    return (
        "The gradient of plain k3 in the loss is that of the forward KL, token by token: target "
        "is p(a|h) = beta q / (L - Q), and not q exp(Q/beta). Bad tokens keep a share of q that "
        "falls like 1/gap, not exponentially."
    )


def _token_local(case: Case) -> str | None:
    o = case.objective
    if o.divergence != "reverse_kl" or o.level != "token":
        return None
    return (
        "Each token bears its own KL and not the one that it causes later: the target is "
        "q(a|h) exp(Q(h,a)/beta) token by token. It is q exp(r/beta) over whole outputs only if "
        "outputs have one token; on the two-step toy the two lie .26 apart in total variation."
    )


def _biased(case: Case) -> str | None:
    o = case.objective
    if o.divergence != "biased" or o.kl_ratio == "sequence":
        return None
    where = "in the reward" if o.kl_placement == "reward" else "in the loss"
    return (
        f"{o.estimator} {where} has a gradient that is that of no divergence: there is no closed "
        "form of what the run ends at."
    )


def _sequence_ratio(case: Case) -> str | None:
    o = case.objective
    if o.kl_placement != "loss" or o.beta == 0 or o.kl_ratio != "sequence":
        return None
    return (
        "The ratio that weighs the KL of a token is that of the sequence, to the power 1/|y|: the "
        " score term has 1/|y| of its weight, so the gradient is neither the reverse KL (weight "
        "1) nor the forward KL (weight 0), and depends on length."
    )


def _adaptive(case: Case) -> str | None:
    o = case.objective
    if not o.beta_adaptive or o.kl_placement == "none":
        return None
    return (
        f"A controller moves beta away from {number(o.beta)} to hold the KL: the target moves with "
        "it, and is that of the last beta."
    )


def _clipped(case: Case) -> str | None:
    o = case.objective
    if o.kl_clip is None or o.divergence == "none":
        return None
    return (
        f"Beyond {number(o.kl_clip)} nats the KL has no gradient: what has fallen below "
        f"q e^-{number(o.kl_clip)} is not pulled back."
    )


def _small_beta(case: Case) -> str | None:
    o = case.objective
    if o.divergence != "reverse_kl" or o.beta <= 0 or 0.1 / o.beta < math.log(TELLING):
        return None
    exponent = 0.1 / o.beta / math.log(10)
    return (
        f"A reward that is .1 higher is worth a factor of e^(.1/{number(o.beta)}) = "
        f"10^{exponent:.1f} in probability: of good outputs with different rewards only the best "
        "stay. Equal rewards keep the ratios of the reference at every beta."
    )


def _lost(case: Case) -> str | None:
    o = case.objective
    if o.lost_beta == 0:
        return None
    return (
        f"A KL with beta = {number(o.lost_beta)} is asked for, and {o.trainer} never reads it: it "
        "is computed, perhaps logged, and stands in no gradient. The reference is loaded for "
        "nothing, and nothing regularises."
    )


RULES = (
    Rule("PM101", "warning", "No regulariser", _no_regulariser, "beta", "positive_beta"),
    Rule(
        *("PM102", "error", "The KL has no gradient", _no_gradient),
        *("kl_estimator kl_placement beta", "kl_in_reward"),
    ),
    Rule(
        *("PM103", "error", "Forward KL instead of reverse", _forward),
        *("kl_ratio kl_estimator beta", "reverse_kl_in_loss"),
    ),
    Rule(
        *("PM104", "warning", "KL of tokens instead of whole outputs", _token_local),
        *("kl_placement beta kl_ratio", "kl_in_reward"),
    ),
    Rule(
        *("PM105", "error", "The KL's gradient is that of no divergence", _biased),
        *("kl_estimator kl_placement beta", "kl_in_reward"),
    ),
    Rule(
        *("PM106", "error", "KL weighed by the ratio of the sequence", _sequence_ratio),
        *("kl_ratio ratio_level beta", "token_ratio"),
    ),
    Rule("PM107", "warning", "Beta moves", _adaptive, "beta_adaptive beta", "fixed_beta"),
    Rule("PM108", "note", "The KL is clipped", _clipped, "kl_clip kl_estimator", "no_kl_clip"),
    Rule("PM109", "note", "Reward gaps are exponentiated", _small_beta, "beta"),
    Rule("PM110", "error", "The KL is never read", _lost, "lost_beta", "read_kl"),
)
