"""Where each shaper ends: the table of docs/concepts/shapers/index.md, computed again.

Frequencies and ranks are those of large groups, that is, of the policy itself; sizes of clusters
and subsets are those of groups of 8. Each sample is one token and one mode.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from polymode.core import gradient_flow, shape

PAGE = Path(__file__).resolve().parents[2] / "docs" / "concepts" / "shapers" / "index.md"
REWARDS, LOG_Q, BETA, GROUP = np.array([0.0, 1.0, 1.0]), np.log([0.68, 0.30, 0.02]), 0.1, 8
GOOD = REWARDS == 1


def named(name, **parameters):
    """A shaper that reads only what is the same in a group of any size."""
    return lambda log_p: shape(name, REWARDS, LOG_Q, log_probs=log_p, **parameters)


def unlikeliness(log_p):
    p = np.exp(log_p)
    less_likely = np.sum(p * ((log_p < log_p[:, None]) + (log_p == log_p[:, None]) / 2), axis=1)
    return REWARDS * (1 - 0.25 * less_likely)


def pass_at_4(log_p):
    wrong = 1 - np.exp(log_p[GOOD]).sum()
    return np.where(GOOD, (1 - 4 / GROUP) * wrong**3, 0.0)


def gapo(log_p):
    p = np.where(GOOD, np.exp(log_p), 0)
    return np.where(GOOD, 1 - (p / p.sum() - 1 / 2), REWARDS)


def best_of_8(log_p):
    wrong = np.exp(log_p[~GOOD]).sum()
    return np.where(GOOD, (1 - wrong**GROUP) / (1 - wrong), wrong ** (GROUP - 1))


ENDS = {
    "plain": named("plain"),
    "anchored": named("anchored", beta=BETA, threshold=1),
    "unlikeliness": unlikeliness,
    "differential_smoothing": named("differential_smoothing", threshold=1, correct=BETA),
    "entropy_bonus": named("entropy_bonus", strength=BETA),
    "uniform_correct": lambda log_p: REWARDS * np.exp(log_p[GOOD]).sum() / (2 * np.exp(log_p)),
    "inverse_probability": lambda log_p: REWARDS / np.exp(log_p),
    "uniqueness": lambda log_p: REWARDS / (GROUP * np.exp(log_p)),
    "dra": lambda log_p: REWARDS / (1 + (GROUP - 1) * np.exp(log_p)),
    "pass_at_k": pass_at_4,
    "gapo": gapo,
    "best_of_n": best_of_8,
}


def ended(name):
    return np.exp(gradient_flow(ENDS[name], LOG_Q, beta=BETA, step=0.02, n_steps=10_000))


def printed():
    """Name -> the three probabilities of the page's table."""
    row = re.compile(r"^\| `(\w+)` \| ([.\d]+) \| ([.\d]+) \| ([.\d]+) \|", re.MULTILINE)
    return {name: list(map(float, p)) for name, *p in row.findall(PAGE.read_text("utf-8"))}


def test_the_table_has_every_shaper():
    assert printed().keys() == ENDS.keys()


@pytest.mark.parametrize("name", ENDS)
def test_the_table_is_right(name):
    np.testing.assert_allclose(printed()[name], ended(name), rtol=0, atol=5.1e-4)
