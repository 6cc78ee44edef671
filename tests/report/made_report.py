"""Reports made by hand, without a diagnosis: a Zipf reference over modes, known exactly."""

import numpy as np

from polymode.diagnostics.diagnosis import (
    VERDICTS,
    BadRows,
    Budget,
    DiagnosisSettings,
    ModesKept,
    OutputTable,
    PromptTable,
    Reliability,
    Report,
    SampleSummary,
    Sweep,
    Verdict,
    WhatIf,
)
from polymode.metrics.intervals import Estimate


def estimate(value, width=0.1):
    value = np.asarray(value, dtype=float)
    wide = width * np.maximum(np.abs(value), 0.1)
    n = np.full(value.shape, 40)
    parts = (value, wide / 1.64, value - wide, value + wide, n)
    return Estimate(*(part.item() if part.ndim == 0 else part for part in parts))


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def entropy(p):
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)


def figures(p, rewards, good):
    """The figures of one policy on each prompt: outputs are modes."""
    mass = (p * good).sum(axis=-1)
    own = p * good / mass[..., None]
    return {
        "expected_reward": (p * rewards).sum(axis=-1),
        "mass_good": mass,
        "entropy": entropy(p),
        "effective_modes": np.exp(entropy(p)),
        "entropy_good": entropy(own),
        "effective_modes_good": np.exp(entropy(own)),
    }


def mean_figures(found):
    """Over all prompts: effective numbers are geometric means."""
    means = {name: np.mean(values, axis=-1) for name, values in found.items()}
    for name in ("effective_modes", "effective_modes_good"):
        means[name] = np.exp(np.mean(np.log(found[name]), axis=-1))
    return {name: estimate(value) for name, value in means.items()}


class Toy:
    """Prompts with `n` outputs each, half of them good, and a target for every strength."""

    def __init__(self, n_prompts, n, beta, seed):
        rng = np.random.default_rng(seed)
        self.beta = beta
        self.log_q = np.log(
            softmax(-rng.uniform(0.5, 1.5, (n_prompts, 1)) * np.log1p(np.arange(n)))
        )
        self.rewards = np.where(np.arange(n) % 2 == 0, 1 + 0.1 * rng.random((n_prompts, n)), 0.2)
        self.good = self.rewards >= 0.8
        anchor = np.where(self.good, self.log_q, -np.inf).argmax(axis=-1)[:, None]
        reward = np.take_along_axis(self.rewards, anchor, axis=-1)
        log_q = np.take_along_axis(self.log_q, anchor, axis=-1)
        self.anchored_rewards = np.where(self.good, reward, self.rewards)
        self.anchored_log_q = np.where(self.good, log_q, self.log_q)
        self.policy = softmax(self.log_q + self.rewards / (4 * beta))

    def target(self, beta):
        return softmax(self.log_q + self.rewards / beta)

    def anchored(self, beta):
        return softmax(self.anchored_log_q + self.anchored_rewards / beta)

    def distributions(self):
        return {
            "reference": np.exp(self.log_q),
            "target": self.target(self.beta),
            "anchored": self.anchored(self.beta),
            "policy": self.policy,
        }

    def figures(self, p):
        return figures(p, self.rewards, self.good)


def budget_of(toy, each):
    """The waterfall, of each prompt or over all of them."""
    over = (lambda x: x) if each else np.mean
    h = {name: toy.figures(p)["entropy_good"] for name, p in toy.distributions().items()}
    log_k = np.log(toy.good.sum(axis=-1).astype(float))
    return Budget(
        n_good_modes=estimate(np.exp(over(log_k))),
        ceiling=estimate(over(log_k), 0),
        reference_bias=estimate(over(log_k - h["reference"])),
        reward_gaps=estimate(over(h["reference"] - h["target"])),
        optimiser=estimate(over(h["target"] - h["policy"])),
        left=estimate(over(h["policy"])),
        kept=estimate(np.exp(over(h["target"] - log_k))),
        n_prompts=len(log_k),
    )


def sweep_of(toy, settings):
    betas = np.asarray(settings.swept())
    target = [mean_figures(toy.figures(toy.target(beta))) for beta in betas]
    anchored = [mean_figures(toy.figures(toy.anchored(beta))) for beta in betas]

    def column(rows, name):
        return estimate([row[name].value for row in rows])

    k = toy.good.sum(axis=-1)[0]
    return Sweep(
        betas=betas,
        target={name: column(target, name) for name in target[0]},
        anchored={name: column(anchored, name) for name in anchored[0]},
        kept=estimate([row["effective_modes_good"].value / k for row in target]),
        frac_reliable=np.linspace(0.3, 1.0, len(betas)),
    )


def output_table(toy, outputs, modes, n_left_out):
    n_prompts, n = toy.log_q.shape
    order = np.argsort(-toy.target(toy.beta), axis=-1)

    def flat(values):
        return np.take_along_axis(np.broadcast_to(values, order.shape), order, axis=-1).ravel()

    which = order.ravel()
    weights = {name: flat(p) for name, p in toy.distributions().items()}
    return OutputTable(
        prompt=np.repeat(np.arange(n_prompts), n),
        text=tuple(outputs[i % len(outputs)] for i in which),
        mode=tuple(modes[i % len(modes)] for i in which),
        n_drawn=np.full(n_prompts * n, 3),
        reward=flat(toy.rewards),
        ref_log_prob=flat(toy.log_q),
        n_left_out=np.full(n_prompts, n_left_out),
        **weights,
    )


def prompt_table(toy, prompts):
    n_prompts, n = toy.log_q.shape
    kinds = list(VERDICTS)
    own = {
        name: {key: estimate(value) for key, value in toy.figures(p).items()}
        for name, p in toy.distributions().items()
    }
    whole = np.full(n_prompts, n)
    return PromptTable(
        texts=[prompts[i % len(prompts)] for i in range(n_prompts)],
        n_samples=3 * whole,
        n_outputs=whole,
        n_modes=whole,
        n_good_modes_seen=toy.good.sum(axis=-1),
        figures=own,
        budget=budget_of(toy, each=True),
        group_size=np.linspace(12, 900, n_prompts),
        verdicts=tuple(kinds[i % len(kinds)] for i in range(n_prompts)),
    )


def reliability_of(n_prompts):
    pareto_k = np.linspace(-0.2, 1.1, n_prompts)
    pareto_k[: n_prompts // 4] = np.nan
    coverage = np.linspace(0.5, 1, n_prompts)
    ess = np.linspace(2, 90, n_prompts)
    return Reliability(
        ess=ess,
        pareto_k=pareto_k,
        coverage=coverage,
        target_coverage=coverage**0.5,
        seen_mass=coverage**2,
        reliable=ess >= 10,
        reasons={"fewer than 10 effective samples": int((ess < 10).sum())},
    )


def what_ifs(toy):
    kept = estimate(1.0)
    anchored = mean_figures(toy.figures(toy.anchored(toy.beta)))
    target = mean_figures(toy.figures(toy.target(toy.beta)))
    return (
        WhatIf("anchoring", "anchored outputs", "outputs", anchored, kept, 1.0),
        WhatIf("anchoring", "anchored modes", "modes", anchored, kept, 1.0),
        WhatIf("divergence", "forward_kl", "forward_kl", target, estimate(0.4), 0.9),
        WhatIf("threshold", "threshold 0.5", 0.5, target, estimate(0.3), 0.1),
    )


def made_report(
    n_prompts=40,
    n=8,
    *,
    beta=0.02,
    prompts=("Name a primary colour.", "Roll a die, and give\nonly the number of pips. " * 8),
    outputs=("red", "a long answer that explains itself " * 5, "blue, because of the sky"),
    modes=("red", "yellow", "blue", ""),
    note="rewards of one output differ between rows: their mean was taken",
    source="samples.jsonl",
    n_left_out=0,
    divergence="reverse_kl",
    seed=0,
):
    """A report on a toy whose numbers are consistent with each other."""
    toy = Toy(n_prompts, n, beta, seed)
    settings = DiagnosisSettings(beta=beta, threshold=0.8, divergence=divergence)
    reliability, sweep, budget = (
        reliability_of(n_prompts),
        sweep_of(toy, settings),
        budget_of(toy, each=False),
    )
    per = 3 * n
    bad = (BadRows("reward is not a number", 3, (f"line 7: {note}",)),)
    return Report(
        verdict=Verdict(
            "collapsed_by_reward_gaps",
            f"At beta {beta:g} the objective asks for {budget.kept.value:.0%} of the good modes: "
            "differences between good rewards, divided by beta, take most of the rest.",
            "Anchor the good modes, or raise beta.",
            (f"reward gaps lose {budget.reward_gaps.value:.2f} nats", note),
            {"kept": float(budget.kept.value), "frac_reliable": 0.75},
        ),
        settings=settings,
        samples=SampleSummary(
            source=source,
            drawn_from="reference",
            n_rows=n_prompts * per + 3,
            n_samples=n_prompts * per,
            n_prompts=n_prompts,
            n_outputs=n_prompts * n,
            n_modes=n_prompts * n,
            samples_per_prompt=(per, per, per),
            modes_are_outputs=True,
            has_policy=True,
            bad_rows=bad,
        ),
        overall={name: mean_figures(toy.figures(p)) for name, p in toy.distributions().items()},
        budget=budget,
        sweep=sweep,
        modes_kept=(
            ModesKept(2.0, 0.05, 0.99, 0.03),
            ModesKept(8.0, float("nan"), float("nan"), float("nan")),
        ),
        what_ifs=what_ifs(toy),
        group_size={"median": 41.0, "most": 900.0, "frac_prompts": 0.95},
        reliability=reliability,
        prompts=prompt_table(toy, prompts),
        outputs=output_table(toy, outputs, modes, n_left_out),
        resampled="prompts",
        notes=(note,),
    )
