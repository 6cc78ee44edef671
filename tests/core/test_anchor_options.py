"""Which output anchors, how far anchoring goes, and how much it may add at most."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.core import anchor, anchored_rewards, augment, optimal_policy, optimal_value
from polymode.errors import ArgumentError
from tests.core.naive_anchoring import blocks, naive, policy, rows
from tests.libraries import given_in_each_library
from tests.strategies import BETAS, batches

CHOICES = st.sampled_from(["most_likely", "best_level"])
STRENGTHS = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1)
CAPS = st.none() | st.sampled_from([0.0, 0.1]) | st.floats(0, 10)
DIVERGENCES = ["reverse_kl", "forward_kl", "jensen_shannon", "squared_hellinger"]


@st.composite
def options(draw):
    """Every option at once."""
    return {"choice": draw(CHOICES), "strength": draw(STRENGTHS), "max_bonus": draw(CAPS)}


# Oracle.


@given(batches(), BETAS, options())
def test_naive_restatement(batch, beta, settings):
    cap = np.inf if settings["max_bonus"] is None else settings["max_bonus"]
    keywords = {"beta": beta, "threshold": batch.threshold, **batch.labels, **settings}
    for row in rows(batch):
        expected = naive(row, beta, **{**settings, "max_bonus": cap})
        augmented, replaced_r, replaced_q, good, anchors = expected
        one, two = (f(row.rewards, row.ref_log_probs, **keywords) for f in (augment, anchor))
        np.testing.assert_allclose(one.rewards, augmented, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(one.ref_log_probs, row.ref_log_probs)
        np.testing.assert_allclose(two.rewards, replaced_r, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(two.ref_log_probs, replaced_q, rtol=1e-9, atol=1e-9)
        for result in (one, two):
            np.testing.assert_array_equal(result.good, good)
            np.testing.assert_array_equal(result.anchor, anchors)
            assert result.carried is None


@given_in_each_library(batch=batches, beta=BETAS, settings=options())
def test_all_libraries_agree(to, batch, beta, settings):
    args = (batch.rewards, batch.ref_log_probs)
    keywords = {"beta": beta, "threshold": batch.threshold, **batch.labels, **settings}
    for function in (augment, anchor):
        expected, actual = function(*args, **keywords), function(*map(to, args), **keywords)
        for name in ("rewards", "ref_log_probs", "good", "anchor"):
            value = getattr(actual, name)
            assert type(value) is type(to(batch.rewards))
            np.testing.assert_allclose(
                np.asarray(value), getattr(expected, name), rtol=1e-9, atol=1e-9
            )


# Laws.


@given(batches(), BETAS, options())
def test_both_algorithms_have_the_same_target_under_reverse_kl(batch, beta, settings):
    args = (batch.rewards, batch.ref_log_probs)
    keywords = {"beta": beta, "threshold": batch.threshold, **batch.labels, **settings}
    one, two = (function(*args, **keywords) for function in (augment, anchor))
    targets = [policy(x.rewards, x.ref_log_probs, beta, batch.groups) for x in (one, two)]
    np.testing.assert_allclose(targets[0], targets[1], rtol=1e-9, atol=1e-9)


@given(batches(), BETAS)
def test_the_best_level_lowers_no_reward(batch, beta):
    keywords = {"beta": beta, "threshold": batch.threshold, **batch.labels}
    raised = anchored_rewards(batch.rewards, batch.ref_log_probs, choice="best_level", **keywords)
    assert not (raised < batch.rewards - 1e-9).any()


@given(batches(), BETAS)
def test_the_best_level_gives_the_good_outputs_the_most_mass(batch, beta):
    # Without modes: with them, too, but for outputs that a mode holds several copies of.
    keywords = {"beta": beta, "threshold": batch.threshold, "groups": batch.groups}
    for row in rows(batch):
        mass = []
        for choice in ("best_level", "most_likely"):
            result = augment(row.rewards, row.ref_log_probs, choice=choice, **keywords)
            log_t = policy(result.rewards, result.ref_log_probs, beta, row.groups)
            good = result.good[None] & np.array(blocks(row.groups))
            mass.append(np.where(good, np.exp(log_t), 0.0).sum(-1))
        assert np.all(mass[0] >= mass[1] - 1e-9)


@given(batches(), BETAS)
def test_with_equal_good_rewards_both_choices_are_one(batch, beta):
    rewards = np.where(batch.rewards >= batch.threshold, 4.0, batch.rewards)
    keywords = {"beta": beta, "threshold": batch.threshold, **batch.labels}
    one, other = (
        augment(rewards, batch.ref_log_probs, choice=choice, **keywords)
        for choice in ("most_likely", "best_level")
    )
    np.testing.assert_array_equal(one.anchor, other.anchor)
    np.testing.assert_array_equal(one.rewards, other.rewards)


@given(batches(), BETAS, STRENGTHS, CHOICES)
def test_strength_moves_the_target_along_the_geometric_path(batch, beta, strength, choice):
    # r' = (1 - s) r + s r'_1 makes q exp(r'/beta) the product of both ends to the powers 1-s and s.
    keywords = {"beta": beta, "threshold": batch.threshold, "choice": choice, **batch.labels}
    for row in rows(batch):
        args = (row.rewards, row.ref_log_probs)
        log_t = []
        for s in (0.0, 1.0, strength):
            result = augment(*args, strength=s, **keywords)
            log_t.append(policy(result.rewards, result.ref_log_probs, beta, row.groups))
        plain = policy(*args, beta, row.groups)
        np.testing.assert_array_equal(log_t[0], plain)
        for group in blocks(row.groups):
            alive = group & np.isfinite(plain)
            path = (1 - strength) * log_t[0][alive] + strength * log_t[1][alive]
            ratio = log_t[2][alive] - path  # the same for all: it normalises
            np.testing.assert_allclose(ratio, ratio[:1].repeat(ratio.size), atol=1e-8)


@given(batches(), BETAS, options())
def test_the_ends_of_strength_are_exact(batch, beta, settings):
    args = (batch.rewards, batch.ref_log_probs)
    keywords = {"beta": beta, "threshold": batch.threshold, **batch.labels, **settings}
    for function in (augment, anchor):
        none = function(*args, **{**keywords, "strength": 0.0})
        np.testing.assert_array_equal(none.rewards, batch.rewards)
        np.testing.assert_array_equal(none.ref_log_probs, batch.ref_log_probs)
        whole = function(*args, **{**keywords, "strength": 1})
        default = function(*args, **{k: x for k, x in keywords.items() if k != "strength"})
        np.testing.assert_array_equal(whole.rewards, default.rewards)
        np.testing.assert_array_equal(whole.ref_log_probs, default.ref_log_probs)


@given(batches(), BETAS, STRENGTHS, st.floats(0, 3))
def test_the_bonus_is_at_most_its_cap(batch, beta, strength, cap):
    args = (batch.rewards, batch.ref_log_probs)
    keywords = {"beta": beta, "threshold": batch.threshold, **batch.labels}
    capped = augment(*args, max_bonus=cap, **keywords).rewards
    full = augment(*args, **keywords).rewards
    level = anchor(*args, threshold=batch.threshold, **batch.labels).rewards  # r(z) where good
    assert not (capped - level > cap * (1 + 1e-12)).any()
    same = full - level <= cap
    np.testing.assert_array_equal(capped[same], full[same])
    part = augment(*args, max_bonus=cap, strength=strength, **keywords).rewards
    mixed = (1 - strength) * batch.rewards + strength * level
    assert not (part - mixed > strength * cap + 1e-9).any()


@given(batches(), BETAS)
def test_without_a_bonus_the_ratios_of_the_reference_stay(batch, beta):
    args = (batch.rewards, batch.ref_log_probs)
    keywords = {"beta": beta, "threshold": batch.threshold, "groups": batch.groups}
    result = augment(*args, max_bonus=0, **keywords)
    level = anchor(*args, threshold=batch.threshold, groups=batch.groups).rewards
    np.testing.assert_array_equal(result.rewards, level)
    substituted = anchor(*args, max_bonus=0, **keywords)
    np.testing.assert_array_equal(substituted.ref_log_probs, batch.ref_log_probs)


@pytest.mark.parametrize("divergence", DIVERGENCES)
@given(strength=STRENGTHS, beta=st.floats(0.1, 10))
def test_strength_under_any_divergence_where_rewards_are_equal(divergence, strength, beta):
    # t = q g((r - L)/beta): with one reward for all good outputs, t stands in the ratio of q, and
    # log q'' = log q + s (log q(z) - log q) keeps 1 - s of every log-ratio.
    log_q = np.log([0.4, 0.3, 0.2, 0.1])
    result = anchor([0.0, 1.0, 1.0, 1.0], log_q, threshold=1.0, strength=strength)
    log_t = optimal_policy(result.rewards, result.ref_log_probs, beta=beta, divergence=divergence)
    expected = (1 - strength) * (log_q[1:] - log_q[1])
    np.testing.assert_allclose(log_t[1:] - log_t[1], expected, rtol=1e-6, atol=1e-7)


def test_half_strength_is_not_half_way_under_forward_kl_where_rewards_differ():
    # At both ends forward KL does what was promised; in between there is no geometric path.
    rewards, log_q = np.array([0.0, 1.0, 2.0]), np.log([0.5, 0.4, 0.1])
    ratio = []
    for strength in (0.0, 0.5, 1.0):
        result = anchor(rewards, log_q, threshold=1.0, strength=strength)
        log_t = optimal_policy(
            result.rewards, result.ref_log_probs, beta=0.1, divergence="forward_kl"
        )
        ratio.append(log_t[1] - log_t[2])
    np.testing.assert_allclose(ratio[2], 0.0, atol=1e-9)
    assert abs(ratio[1] - ratio[0] / 2) > 0.1


# Known answers.


def test_the_best_level_by_hand():
    # Levels at beta = 1: 1 + log .4 = .084, 2 + log .2 = .391, 2.5 + log .1 = .197; the second
    # anchors. r'(0) = 2 + log(.2/.4) = 2 - log 2 > 1, r'(2) = 2 + log(.2/.1) = 2 + log 2 > 2.5.
    # At beta = 10 the likeliest has the highest level: 1 + 10 log .4 = -8.2, against -14.1, -20.5.
    rewards, log_q = np.array([1.0, 2.0, 2.5, 0.0]), np.log([0.4, 0.2, 0.1, 0.3])
    result = augment(rewards, log_q, beta=1.0, threshold=1.0, choice="best_level")
    np.testing.assert_array_equal(result.anchor, [1, 1, 1, 1])
    expected = [2 - np.log(2), 2.0, 2 + np.log(2), 0.0]
    np.testing.assert_allclose(result.rewards, expected, rtol=1e-12)
    # Worth to the objective: the level itself, in place of 1 + log .4.
    values = [
        optimal_value(
            augment(rewards, log_q, beta=1.0, threshold=1.0, choice=choice).rewards,
            log_q,
            beta=1.0,
        )
        for choice in ("best_level", "most_likely")
    ]
    # log(sum q exp r'): three times the level's weight, and .3 of the bad output.
    weights = [0.2 * np.exp(2), 0.4 * np.exp(1)]
    np.testing.assert_allclose(values, [np.log(3 * w + 0.3) for w in weights], rtol=1e-12)
    result = augment(rewards, log_q, beta=10.0, threshold=1.0, choice="best_level")
    np.testing.assert_array_equal(result.anchor, [0, 0, 0, 0])


def test_the_best_level_of_modes_by_hand():
    # Mode a: .2 + .1 = .3, its best reward 1 is at the second output. Mode b: .25, with 1.1.
    # beta = 1: a has 1 + log .3 = -.204, b has 1.1 + log .25 = -.286. So the second output anchors
    # although the first is likelier; b gets 1 + log(.3/.25).
    log_q = np.log([0.2, 0.1, 0.25])
    result = augment(
        [0.5, 1.0, 1.1],
        log_q,
        beta=1.0,
        threshold=0.5,
        modes=["a", "a", "b"],
        choice="best_level",
    )
    np.testing.assert_array_equal(result.anchor, [1, 1, 1])
    np.testing.assert_allclose(result.rewards, [1.0, 1.0, 1 + np.log(1.2)], rtol=1e-12)


def test_ties_of_the_level_go_to_the_likeliest_then_to_the_first():
    # Exact in binary: 1 - 2 = 2 - 3 = -1, and twice the same.
    result = augment(
        [2.0, 1.0, 1.0], [-3.0, -2.0, -2.0], beta=1.0, threshold=0, choice="best_level"
    )
    np.testing.assert_array_equal(result.anchor, [1, 1, 1])


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_capped_output_stays_below_the_flat_level_by_a_known_factor(divergence):
    # The gap is log(.6/.006) = log 100 nats and the cap 0.2/0.1 = 2 of them: what is left is a
    # factor of exp(2 - log 100) = e^2 / 100 = .0739. The second gap, log 2, is below the cap.
    beta, log_q = 0.1, np.log([0.6, 0.3, 0.006, 0.094])
    rewards = np.array([1.0, 1.0, 1.0, 0.0])
    two = anchor(rewards, log_q, threshold=1, beta=beta, max_bonus=0.2)
    log_t = optimal_policy(two.rewards, two.ref_log_probs, beta=beta, divergence=divergence)
    np.testing.assert_allclose(np.exp(log_t[:3] - log_t[0]), [1, 1, np.exp(2) / 100], rtol=1e-7)
    if divergence == "reverse_kl":
        one = augment(rewards, log_q, threshold=1, beta=beta, max_bonus=0.2)
        np.testing.assert_allclose(one.rewards, [1, 1 + 0.1 * np.log(2), 1.2, 0], rtol=1e-12)
        log_t = optimal_policy(one.rewards, log_q, beta=beta)
        np.testing.assert_allclose(np.exp(log_t[2] - log_t[0]), np.exp(2) / 100, rtol=1e-9)


def test_half_strength_by_hand():
    # r'_1 of the second output is 1 + .5 log 3 (see the whole strength); half way from 2 to there.
    # Substituted: reward half way from 2 to 1, and q half way from .1 to .3, on the log scale.
    rewards, log_q = np.array([1.0, 2.0]), np.log([0.3, 0.1])
    one = augment(rewards, log_q, beta=0.5, threshold=1, strength=0.5)
    np.testing.assert_allclose(one.rewards, [1.0, 1.5 + 0.25 * np.log(3)], rtol=1e-12)
    two = anchor(rewards, log_q, threshold=1, strength=0.5)
    np.testing.assert_allclose(two.rewards, [1.0, 1.5], rtol=1e-12)
    np.testing.assert_allclose(np.exp(two.ref_log_probs), [0.3, np.sqrt(0.03)], rtol=1e-12)


def test_forbidden_outputs_stay_forbidden_without_a_warning():
    for strength in (0.0, 0.5, 1.0):
        result = augment(
            [-np.inf, 1.0, np.nan],
            [-1.0, -2.0, -np.inf],
            beta=0.1,
            threshold=0,
            strength=strength,
            choice="best_level",
        )
        np.testing.assert_array_equal(result.rewards, [-np.inf, 1.0, np.nan])


def test_options_are_differentiable():
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([0.0, 1.0, 2.0, 1.5], dtype=torch.float64, requires_grad=True)
    log_q = torch.tensor([-1.0, -1.5, -3.0, -2.0], dtype=torch.float64, requires_grad=True)
    keywords = {"beta": 0.3, "threshold": 0.9, "choice": "best_level", "strength": 0.7}
    for modes in (None, ["a", "a", "b", "b"]):
        for cap in (None, 0.05):
            for function in (augment, anchor):
                for name in ("rewards", "ref_log_probs"):
                    assert torch.autograd.gradcheck(
                        lambda r, q, f=function, n=name, m=modes, c=cap: getattr(
                            f(r, q, modes=m, max_bonus=c, **keywords), n
                        ),
                        (rewards, log_q),
                    )


# Messages.


def test_substitution_asks_for_beta_only_where_it_needs_it():
    one = ([1.0], [0.0])
    with pytest.raises(
        ArgumentError, match=r"^beta must be given with choice='best_level', got No"
    ):
        anchor(*one, threshold=0, choice="best_level")
    with pytest.raises(ArgumentError, match=r"^beta must be given with max_bonus, got None$"):
        anchor(*one, threshold=0, max_bonus=1.0)
    for beta in (0, -1.0, np.nan, np.inf, "much"):
        with pytest.raises(ArgumentError, match=r"^beta must be a finite number > 0, got "):
            anchor(*one, threshold=0, beta=beta)
    np.testing.assert_array_equal(anchor(*one, threshold=0, strength=0.5).rewards, [1.0])


@pytest.mark.parametrize("function", [anchor, augment, anchored_rewards])
def test_bad_amounts(function):
    keywords = {"threshold": 0, "beta": 1.0}
    for strength in (-0.1, 1.5, np.nan, "half", None):
        with pytest.raises(ArgumentError, match=r"^strength must be a number in \[0, 1\], got "):
            function([1.0], [0.0], strength=strength, **keywords)
    for cap in (-0.1, np.inf, np.nan, "none"):
        with pytest.raises(ArgumentError, match=r"^max_bonus must be a finite number >= 0, got "):
            function([1.0], [0.0], max_bonus=cap, **keywords)
    with pytest.raises(ArgumentError, match=r"got 'best-level'; did you mean 'best_level'\?$"):
        function([1.0], [0.0], choice="best-level", **keywords)


def test_all_problems_are_reported_at_once():
    with pytest.raises(ArgumentError) as caught:
        anchor(
            [1.0],
            [0.0],
            threshold=np.nan,
            choice="best_level",
            strength=2,
            max_bonus=-1,
            groups="a",
        )
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "threshold",
        "groups",
        "groups",
        "beta",
        "beta",
        "strength",
        "max_bonus",
    ]
