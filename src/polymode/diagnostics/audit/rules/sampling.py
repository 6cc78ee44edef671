"""PM4xx: who samples, and how far from the policy that learns."""

from polymode.diagnostics.audit.rules.rule import Case, Rule, number

__all__ = ["RULES"]


def _truncated(case: Case) -> str | None:
    o = case.objective
    if not o.truncated_sampling:
        return None
    named = ", ".join(f"{name} = {number(v)}" for name, v in o.truncated_sampling.items())
    return (
        f"Completions are drawn from a truncated distribution ({named}), and log-probabilities are "
        "those of the whole one: the reward of what is never drawn never counts, and the KL is "
        "taken over other outputs than those that have a probability."
    )


def _temperature(case: Case) -> str | None:
    o = case.objective
    if o.temperature == 1 or not o.temperature_in_loss:
        return None
    return (
        f"Policy and reference are both taken at temperature {number(o.temperature)}: the target "
        "is the distribution that you sample at that temperature, and at temperature 1 the model "
        "has another one."
    )


def _other_temperature(case: Case) -> str | None:
    o = case.objective
    if o.temperature_in_loss:
        return None
    return (
        f"Completions are drawn at temperature {number(o.temperature)}, and their "
        f"log-probabilities in the loss are taken at {number(o.loss_temperature)}: every gradient "
        "is that of the wrong distribution, on-policy too."
    )


def _several_updates(case: Case) -> str | None:
    o = case.objective
    in_loss = o.kl_placement == "loss" and o.divergence != "none"
    if not o.clipping or o.clip_holds or not in_loss:
        return None
    updates = "several" if o.n_updates is None else number(o.n_updates)
    return (
        f"Each batch gets {updates} updates: the clip stops the reward where the ratio has moved, "
        "and not the KL, so that the KL weighs more in later updates."
    )


def _uneven_clip(case: Case) -> str | None:
    o = case.objective
    if not o.clipping or o.clip_low is None or o.clip_high is None or o.clip_low == o.clip_high:
        return None
    return (
        f"The clip lets ratios rise to {number(1 + o.clip_high)} and fall to "
        f"{number(1 - o.clip_low)}: unlike bounds add a drift of the entropy that is in no "
        "objective."
    )


def _asynchronous(case: Case) -> str | None:
    if not case.objective.asynchronous:
        return None
    return (
        "Completions may come from an older policy: the fixed point is the same where they differ "
        "little, and the KL is taken over the older policy's outputs."
    )


def _uncorrected(case: Case) -> str | None:
    o = case.objective
    if not o.sampler_engine or o.sampler_correction != "none":
        return None
    return (
        f"{o.sampler_engine} draws the completions, with probabilities that differ from the "
        "trainer's, and nothing corrects for it: the gradient is that of a policy that was not "
        "sampled."
    )


def _truncated_correction(case: Case) -> str | None:
    if case.objective.sampler_correction != "truncated":
        return None
    return (
        "Weights of the sampler's completions are cut above a bound: outputs that it gives too "
        " little probability count too little. The KL in the loss is not weighed at all."
    )


RULES = (
    Rule(
        *("PM401", "warning", "Sampling is truncated", _truncated),
        *("truncated_sampling", "full_sampling"),
    ),
    Rule(
        *("PM402", "note", "The target is that of another temperature", _temperature),
        *("temperature", "unit_temperature"),
    ),
    Rule(
        *("PM403", "error", "Sampled and scored at different temperatures", _other_temperature),
        *("temperature", "unit_temperature"),
    ),
    Rule(
        *("PM404", "warning", "The clip stops the reward and not the KL", _several_updates),
        *("n_updates clip_low clip_high", "on_policy"),
    ),
    Rule(
        *("PM405", "note", "The clip is uneven", _uneven_clip),
        *("clip_high clip_low n_updates", "on_policy"),
    ),
    Rule("PM406", "note", "Samples may be stale", _asynchronous, "asynchronous", "on_policy"),
    Rule(
        *("PM407", "warning", "The sampler is another policy", _uncorrected),
        "sampler_correction sampler_engine",
    ),
    Rule(
        *("PM408", "note", "The sampler's weights are cut", _truncated_correction),
        "sampler_correction sampler_engine",
    ),
)
