"""Synthetic prompts whose every output is known: what a diagnosis says of draws has a truth.

The other side of `benchmarks/science/diagnose.py`, which draws from them by the ten thousand.
"""

from dataclasses import dataclass

import numpy as np

from polymode.diagnostics.diagnosis import RecordedSamples, Texts

__all__ = ["THRESHOLD", "Prompt", "World", "draw_samples"]

THRESHOLD = 0.75


@dataclass(frozen=True, eq=False)
class Prompt:
    """All outputs of a prompt: probabilities, rewards, and which mode each one is of."""

    q: np.ndarray
    rewards: np.ndarray
    mode: np.ndarray
    p: np.ndarray | None = None

    @property
    def drawn(self) -> np.ndarray:
        """The probabilities by which samples are drawn: of the policy, if there is one."""
        return self.q if self.p is None else self.p


@dataclass(frozen=True)
class World:
    """A family of prompts: `n_modes` modes, a Zipf reference over them, and rewards of a kind.

    `rewards` is "binary" (1 or 0), "mixed" (good ones between 0.8 and 1, bad ones below 0.7),
    "favoured" (mixed; what the reference likes is good more often), "neglected" (the same upside
    down) or "gap" (one good mode earns 1, the others 0.9). With `phrasings`, a mode has up to that
    many texts. With `tilt`, a policy draws: the reference, tilted by that much towards the reward,
    and with a noise of its own.
    """

    n_modes: int
    exponent: float
    rewards: str
    phrasings: int = 1
    tilt: float | None = None

    def prompt(self, rng: np.random.Generator) -> Prompt:
        """Draw a prompt."""
        n = self.n_modes
        zipf = np.arange(1, n + 1) ** -self.exponent * np.exp(0.3 * rng.standard_normal(n))
        rewards = _rewards(self.rewards, n, rng)
        mode = np.arange(n)
        if self.phrasings > 1:
            mode = np.repeat(mode, rng.integers(1, self.phrasings + 1, n))
        within = rng.exponential(size=len(mode)) if self.phrasings > 1 else np.ones(n)
        q = zipf[mode] * within / np.bincount(mode, within)[mode]
        q, rewards = q / q.sum(), rewards[mode]
        if self.tilt is None:
            return Prompt(q, rewards, mode)
        p = q * np.exp(self.tilt * rewards + 0.5 * rng.standard_normal(len(q)))
        return Prompt(q, rewards, mode, p / p.sum())


def _rewards(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the reward of each mode, the likeliest first; one at least is good."""
    slope = {"favoured": -0.4, "neglected": 0.4}.get(kind, 0.0)
    good = rng.random(n) < 0.3 + slope * (np.arange(n) / max(n - 1, 1) - 0.5)
    good[rng.integers(n)] = True
    if kind == "binary":
        return good.astype(float)
    if kind == "gap":
        out = np.where(good, 0.9, 0.0)
        out[rng.choice(np.flatnonzero(good))] = 1.0
        return out
    return np.where(good, rng.uniform(0.8, 1.0, n), rng.uniform(0.0, 0.7, n))


def draw_samples(prompts: list[Prompt], n: int, rng: np.random.Generator) -> RecordedSamples:
    """Draw `n` samples of each prompt."""
    counts = [rng.multinomial(n, prompt.drawn / prompt.drawn.sum()) for prompt in prompts]
    seen = [np.flatnonzero(count) for count in counts]
    repeats = np.concatenate([count[own] for count, own in zip(counts, seen, strict=True)])

    def column(of: str) -> np.ndarray:
        parts = [getattr(prompt, of)[own] for prompt, own in zip(prompts, seen, strict=True)]
        return np.repeat(np.concatenate(parts), repeats)

    output = np.repeat(np.concatenate(seen), repeats)
    mode = column("mode")
    single = len(prompts[0].q) == prompts[0].mode[-1] + 1
    texts = Texts.of(map(str, range(int(output.max()) + 1)))
    return RecordedSamples(
        prompt=np.repeat(np.arange(len(prompts)), n),
        prompt_texts=[f"prompt {i}" for i in range(len(prompts))],
        output=output,
        output_texts=texts,
        rewards=column("rewards"),
        ref_log_probs=np.log(column("q")),
        drawn_from="reference" if prompts[0].p is None else "policy",
        log_probs=None if prompts[0].p is None else np.log(column("p")),
        modes=None if single else mode,
        mode_names=() if single else Texts.of(map(str, range(int(mode.max()) + 1))),
    )
