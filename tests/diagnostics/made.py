"""Runs made by hand: small enough to compute their figures on paper."""

from pathlib import Path

import numpy as np

from polymode.diagnostics.records import Run, Samples


def samples(*rows):
    """Samples from (prompt, reward, mode) or (prompt, reward, mode, completion)."""
    keys = tuple(dict.fromkeys(row[0] for row in rows))
    return Samples(
        keys,
        keys,
        np.asarray([keys.index(row[0]) for row in rows]),
        tuple(row[3] if len(row) > 3 else f"I say {row[2]}" for row in rows),
        np.asarray([float(row[1]) for row in rows]),
        tuple(row[2] for row in rows),
        np.full(len(rows), np.nan),
    )


def run(name, *rows, **known):
    return Run(name, "evaluation", Path(name), samples(*rows) if rows else None, **known)


def many(name, quality, modes, n_prompts=12, n=8, seed=0):
    """A run on `n_prompts` prompts: good with probability `quality`, one of `modes` modes."""
    rng = np.random.default_rng(seed)
    return run(
        name,
        *(
            (f"prompt {i}", rng.random() < quality, f"m{rng.integers(modes)}")
            for i in range(n_prompts)
            for _ in range(n)
        ),
    )
