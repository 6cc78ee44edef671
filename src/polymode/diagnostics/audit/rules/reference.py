"""PM5xx: what the policy is held to, and what else pulls at it."""

from polymode.diagnostics.audit.rules.rule import Case, Rule, number

__all__ = ["RULES"]


def _moving(case: Case) -> str | None:
    o = case.objective
    if o.reference != "moving" or o.divergence == "none":
        return None
    every = "now and then" if o.reference_every is None else f"every {o.reference_every} steps"
    return (
        f"{every[0].upper()}{every[1:]} the reference moves towards the policy (share "
        f"{number(o.reference_mix)}): nothing holds the run near where it began, and what it has "
        "dropped once, it will not be pulled back to. There is no fixed target."
    )


def _decay(case: Case) -> str | None:
    o = case.objective
    if o.weight_decay == 0:
        return None
    return (
        f"Weight decay {number(o.weight_decay)} pulls the weights to zero, not to those of the "
        "reference: at the fixed point it balances the objective's gradient."
    )


def _entropy(case: Case) -> str | None:
    o = case.objective
    if o.entropy_coef == 0 or o.entropy_adaptive:
        return None
    if o.entropy_coef < 0:
        return f"Entropy is punished ({number(o.entropy_coef)}): the target is sharper than asked."
    beta = 0.0 if o.divergence == "none" else o.beta
    return (
        f"An entropy bonus of {number(o.entropy_coef)} per nat is a second reference, the uniform "
        "distribution over tokens: beside a reverse KL that weighs tokens alike it means "
        f"q^(beta/(beta + c)) and the strength {number(beta + o.entropy_coef)}. Unlikely tokens "
        "gain, good or not."
    )


def _entropy_controller(case: Case) -> str | None:
    if not case.objective.entropy_adaptive:
        return None
    return (
        "A controller moves the weight of an entropy bonus to hold the entropy: the target moves "
        "with it."
    )


def _extra(case: Case) -> str | None:
    terms = case.objective.extra_terms
    if not terms:
        return None
    listed = ", ".join(term.replace("_", " ") for term in terms)
    return f"The loss has other terms ({listed}), whose gradient the target has to balance."


RULES = (
    Rule(
        *("PM501", "error", "The reference moves", _moving),
        *("reference reference_every", "fixed_reference"),
    ),
    Rule(
        *("PM502", "note", "Weights decay to zero", _decay),
        *("weight_decay", "no_weight_decay"),
    ),
    Rule(
        *("PM503", "warning", "An entropy bonus is a second reference", _entropy),
        *("entropy_coef", "no_entropy_bonus"),
    ),
    Rule(
        *("PM504", "warning", "A controller moves the entropy bonus", _entropy_controller),
        *("entropy_adaptive entropy_coef", "no_entropy_bonus"),
    ),
    Rule("PM505", "note", "The loss has other terms", _extra, "extra_terms"),
)
