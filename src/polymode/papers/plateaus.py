r"""Figure 5: a policy over 100 tokens, trained from samples, beside what its objective asks for.

Notation: ``p`` policy, ``q`` reference, ``r`` reward, ``beta`` strength. Good tokens lie on two
plateaus, one that the reference likes and one that it does not. Every step draws a batch of tokens
from the policy and follows the score-function estimate (REINFORCE) of the objective's gradient,

.. math:: \frac1B \sum_i \left( w_i - \tfrac1{B-1} \textstyle\sum_{j \ne i} w_j \right)
          \nabla \log p(y_i), \qquad y_i \sim p

with weights whose expected gradient is exact: ``w = r - beta log(p / q)`` under reverse KL,
``w = r + beta q / p`` under forward KL (the functional derivative of its objective).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from polymode.core import leave_one_out
from polymode.errors import MissingExtraError
from polymode.metrics import total_variation
from polymode.papers.objectives import KLS, METHODS, Objective, Vector, algorithm_of
from polymode.papers.settings import FigureSettings

Progress = Callable[[int, int], None]
"""Gets the step and the number of steps."""

# The paper's.
_N_TOKENS = 100
_BATCH = 32
_LEARNING_RATE = 5e-3
_BETAS = (0.01, 1.0)

# Not published, so ours: log q falls by 1 nat in 20 tokens, and the plateaus lie 45 tokens apart.
# Every token of the rare one is e^-2.25 = 0.105 times as likely as its counterpart.
_DECAY = 20.0
_PLATEAUS = ((5, 30), (50, 75))
_THRESHOLD = 1.0


def plateaus(settings: FigureSettings, progress: Progress) -> dict[str, Any]:
    """Return the promised and the trained policy: both betas, both KLs, plain and anchored."""
    rewards, log_q = _problem()
    panels: list[dict[str, Any]] = [
        {
            "beta": beta,
            "divergence": divergence,
            "method": method,
            "algorithm": algorithm_of(method, divergence),
        }
        for beta in _BETAS
        for divergence in KLS
        for method in METHODS
    ]
    objectives = [
        Objective.of(
            rewards,
            log_q,
            beta=panel["beta"],
            divergence=panel["divergence"],
            threshold=_THRESHOLD,
            algorithm=panel["algorithm"],
        )
        for panel in panels
    ]
    trained = train(
        objectives,
        log_q,
        steps=settings.steps,
        runs=settings.runs,
        seed=settings.seed,
        progress=progress,
    )
    for i, (panel, objective) in enumerate(zip(panels, objectives, strict=True)):
        panel["target"] = objective.target()
        panel["trained"] = [
            {"n_steps": n_steps} | _summary(log_p[i], objective.log_target())
            for n_steps, log_p in trained.items()
        ]
    return {
        "rewards": rewards.tolist(),
        "reference": np.exp(log_q).tolist(),
        "plateaus": [list(plateau) for plateau in _PLATEAUS],
        "threshold": _THRESHOLD,
        "training": {
            "optimiser": "AdamW",
            "learning_rate": _LEARNING_RATE,
            "weight_decay": 0.0,
            "batch": _BATCH,
            "start": "reference",
            "estimator": "score function, leave-one-out baseline",
        },
        "panels": panels,
    }


def _problem() -> tuple[Vector, Vector]:
    """Return rewards and log q of the tokens."""
    tokens = np.arange(_N_TOKENS)
    rewards = np.zeros(_N_TOKENS)
    for start, end in _PLATEAUS:
        rewards[start:end] = 1.0
    log_q = -tokens / _DECAY
    return rewards, log_q - np.logaddexp.reduce(log_q)


def _summary(log_p: Any, log_target: Vector) -> dict[str, Any]:
    """Sum up the policies of all runs, shape (runs, n)."""
    p = np.exp(log_p)
    distances = total_variation(log_p, np.broadcast_to(log_target, log_p.shape))
    return {
        "mean": p.mean(0).tolist(),
        "min": p.min(0).tolist(),
        "max": p.max(0).tolist(),
        "total_variation": {
            "mean": float(distances.mean()),
            "min": float(distances.min()),
            "max": float(distances.max()),
            "runs": distances.tolist(),
        },
        "frac_on_plateaus": [float(p[:, a:b].sum(1).mean()) for a, b in _PLATEAUS],
    }


def train(
    objectives: Sequence[Objective],
    start: Vector,
    *,
    steps: tuple[int, ...],
    runs: int,
    seed: int,
    progress: Progress,
) -> dict[int, Any]:
    """Return log p after each number of steps, as arrays of shape (objectives, runs, n).

    All policies are rows of one table of logits, drawn from by one generator. AdamW acts on each
    number alone, so that they train as they would apart. It decays nothing here: shrinking logits
    pull towards the uniform distribution, which no objective asks for.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("torch", "language") from error

    def column(values: Sequence[Any]) -> torch.Tensor:
        """One row for each policy."""
        rows = torch.as_tensor(np.stack([np.atleast_1d(value) for value in values]))
        return rows.repeat_interleave(runs, dim=0)

    r, log_q, beta, divergence = map(list, zip(*objectives, strict=True))
    r, log_q, beta = column(r), column(log_q), column(beta)
    is_reverse = column([name == "reverse_kl" for name in divergence])
    draws = torch.Generator().manual_seed(seed)
    logits = torch.tensor(start).repeat(len(r), 1).requires_grad_()
    optimiser = torch.optim.AdamW([logits], lr=_LEARNING_RATE, weight_decay=0.0)
    shown: dict[int, Any] = {}
    for step in range(1, steps[-1] + 1):
        log_p = logits.log_softmax(-1)
        with torch.no_grad():
            weight = reward_weights(log_p, r, log_q, beta=beta, is_reverse=is_reverse)
            y = torch.multinomial(log_p.exp(), _BATCH, replacement=True, generator=draws)
            advantage = leave_one_out(weight.gather(-1, y))
        loss = -(advantage * log_p.gather(-1, y)).mean(-1).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step in steps:
            log_p = logits.detach().log_softmax(-1)
            shown[step] = log_p.unflatten(0, (len(objectives), runs)).numpy()
        if step % 100 == 0 or step == steps[-1]:
            progress(step, steps[-1])
    return shown


def reward_weights(log_p: Any, r: Any, log_q: Any, *, beta: Any, is_reverse: Any) -> Any:
    """Return w, for which ``E_p[w grad log p]`` is the gradient of the objective."""
    from torch import where

    log_ratio = log_q - log_p
    return r + beta * where(is_reverse, log_ratio, log_ratio.exp())
