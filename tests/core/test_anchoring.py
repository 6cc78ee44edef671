"""Anchoring by substitution (Algorithm 2) and by augmented rewards (Algorithm 1)."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from scipy import optimize

from polymode.core import alpha_divergence, anchor, anchored_rewards, augment, optimal_policy
from polymode.errors import ArgumentError, ShapeError
from tests.core.naive_anchoring import blocks, first_copies, naive, policy, rows
from tests.libraries import each_library, given_in_each_library
from tests.strategies import BETAS, SEEDS, batches

BOTH = [anchor, lambda *args, **kwargs: augment(*args, beta=0.3, **kwargs)]
BOTH_IDS = ["anchor", "augment"]


# Oracle.


@given(batches(), BETAS)
def test_naive_restatement(batch, beta):
    for row in rows(batch):
        augmented, replaced_r, replaced_q, good, anchors = naive(row, beta)
        args = (row.rewards, row.ref_log_probs)
        one = augment(*args, beta=beta, threshold=row.threshold, **row.labels)
        two = anchor(*args, threshold=row.threshold, **row.labels)
        np.testing.assert_allclose(one.rewards, augmented, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(one.ref_log_probs, row.ref_log_probs)
        np.testing.assert_array_equal(two.rewards, replaced_r)
        np.testing.assert_allclose(two.ref_log_probs, replaced_q, rtol=1e-9, atol=1e-9)
        for result in (one, two):
            np.testing.assert_array_equal(result.good, good)
            np.testing.assert_array_equal(result.anchor, anchors)


@given(batches(), BETAS)
def test_leading_axes_are_independent_rows(batch, beta):
    n = batch.rewards.shape[-1]
    args = (batch.rewards, batch.ref_log_probs)
    whole = augment(*args, beta=beta, threshold=batch.threshold, **batch.labels)
    for i, row in enumerate(rows(batch)):
        args = (row.rewards, row.ref_log_probs)
        part = augment(*args, beta=beta, threshold=row.threshold, **row.labels)
        np.testing.assert_allclose(whole.rewards.reshape(-1, n)[i], part.rewards, rtol=1e-12)
        np.testing.assert_array_equal(whole.good.reshape(-1, n)[i], part.good)
        np.testing.assert_array_equal(whole.anchor.reshape(-1, n)[i], part.anchor)


@given_in_each_library(batch=batches)
def test_all_libraries_agree(to, batch):
    args = (batch.rewards, batch.ref_log_probs)
    for labels in (batch.labels, {name: to(value) for name, value in batch.labels.items()}):
        for function in BOTH:
            expected = function(*args, threshold=batch.threshold, **batch.labels)
            actual = function(*map(to, args), threshold=batch.threshold, **labels)
            for name in ("rewards", "ref_log_probs", "good", "anchor"):
                value = getattr(actual, name)
                assert type(value) is type(to(batch.rewards))
                np.testing.assert_allclose(
                    np.asarray(value), getattr(expected, name), rtol=1e-9, atol=1e-9
                )


# Laws.


@given(batches(), BETAS)
def test_both_algorithms_have_the_same_target_under_reverse_kl(batch, beta):
    args = (batch.rewards, batch.ref_log_probs)
    one = augment(*args, beta=beta, threshold=batch.threshold, **batch.labels)
    two = anchor(*args, threshold=batch.threshold, **batch.labels)
    targets = [policy(x.rewards, x.ref_log_probs, beta, batch.groups) for x in (one, two)]
    np.testing.assert_allclose(targets[0], targets[1], rtol=1e-9, atol=1e-9)


@given(batches(), BETAS)
def test_without_modes_the_target_is_flat_over_the_good_outputs(batch, beta):
    for row in rows(batch):
        args = (row.rewards, row.ref_log_probs)
        result = anchor(*args, threshold=row.threshold, groups=row.groups)
        log_t = policy(result.rewards, result.ref_log_probs, beta, row.groups)
        for group in blocks(row.groups):
            flat = log_t[group & result.good]
            np.testing.assert_allclose(flat, flat[:1].repeat(flat.size), rtol=1e-9, atol=1e-9)


@given(batches(), BETAS)
def test_with_modes_the_modes_are_equal_and_keep_their_proportions(batch, beta):
    for row in rows(batch):
        args = (row.rewards, row.ref_log_probs)
        result = augment(*args, beta=beta, threshold=row.threshold, **row.labels)
        log_t = policy(result.rewards, result.ref_log_probs, beta, row.groups)
        distinct = result.good & first_copies(row)
        for group in blocks(row.groups):
            masses = []
            for mode in blocks(row.groups, row.modes):
                inside = group & mode & distinct
                if inside.any():
                    masses.append(np.logaddexp.reduce(log_t[inside]))
                    shift = log_t[inside] - row.ref_log_probs[inside]
                    np.testing.assert_allclose(shift, shift[0], rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(masses, masses[:1] * len(masses), rtol=1e-9, atol=1e-9)


@given(batches(), BETAS)
def test_what_is_not_good_and_the_anchor_are_untouched(batch, beta):
    args = (batch.rewards, batch.ref_log_probs)
    for labels in (batch.labels, {"groups": batch.groups}):
        one = augment(*args, beta=beta, threshold=batch.threshold, **labels)
        two = anchor(*args, threshold=batch.threshold, **labels)
        for result in (one, two):
            is_anchor = result.anchor == np.arange(batch.groups.size)
            same = ~result.good | is_anchor
            np.testing.assert_array_equal(result.rewards[same], batch.rewards[same])
            np.testing.assert_array_equal(result.ref_log_probs[same], batch.ref_log_probs[same])
            assert np.all(result.good[is_anchor])


@given(batches())
def test_good_means_scored_above_the_threshold_and_within_reach(batch):
    result = anchor(batch.rewards, batch.ref_log_probs, threshold=batch.threshold)
    scored = np.where(np.isnan(batch.rewards), -np.inf, batch.rewards)
    expected = (scored >= batch.threshold) & np.isfinite(batch.ref_log_probs)
    np.testing.assert_array_equal(result.good, expected)


@given(batches())
def test_the_anchor_is_in_the_same_group_and_missing_only_where_nothing_is_good(batch):
    result = anchor(batch.rewards, batch.ref_log_probs, threshold=batch.threshold, **batch.labels)
    for block in blocks(batch.groups):
        inside = result.anchor[..., block]
        missing = ~result.good[..., block].any(-1, keepdims=True)
        np.testing.assert_array_equal(inside == -1, np.broadcast_to(missing, inside.shape))
        assert np.isin(inside[inside >= 0], np.flatnonzero(block)).all()


@given(batches(), BETAS, SEEDS)
def test_permuted_samples_give_permuted_rewards(batch, beta, seed):
    order = np.random.default_rng(seed).permutation(batch.groups.size)
    args = (batch.rewards, batch.ref_log_probs)
    before = anchored_rewards(*args, beta=beta, threshold=batch.threshold, **batch.labels)
    after = anchored_rewards(
        *(x[..., order] for x in args),
        beta=beta,
        threshold=batch.threshold,
        **{name: value[order] for name, value in batch.labels.items()},
    )
    np.testing.assert_allclose(after, before[..., order], rtol=1e-12, atol=1e-12)


@given(batches(), BETAS)
def test_names_of_labels_do_not_matter(batch, beta):
    args = (batch.rewards, batch.ref_log_probs)
    numbers = augment(*args, beta=beta, threshold=batch.threshold, **batch.labels)
    texts = {
        "groups": 5 - 3 * batch.groups,
        "modes": [f"mode {x}" for x in batch.modes],
        "outputs": np.array([f"output {x}" for x in batch.outputs]),
    }
    named = augment(*args, beta=beta, threshold=batch.threshold, **texts)
    np.testing.assert_allclose(named.rewards, numbers.rewards, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(named.anchor, numbers.anchor)


@given(batches(), BETAS)
def test_copies_of_an_output_change_no_reward(batch, beta):
    twice = np.concatenate([np.arange(batch.groups.size)] * 2)
    args = (batch.rewards, batch.ref_log_probs)
    once = anchored_rewards(*args, beta=beta, threshold=batch.threshold, **batch.labels)
    doubled = anchored_rewards(
        *(x[..., twice] for x in args),
        beta=beta,
        threshold=batch.threshold,
        **{name: value[twice] for name, value in batch.labels.items()},
    )
    np.testing.assert_allclose(doubled, once[..., twice], rtol=1e-12, atol=1e-12)


@given(batches(), BETAS)
def test_modes_that_are_outputs_change_nothing(batch, beta):
    args = (batch.rewards, batch.ref_log_probs)
    keywords = {"beta": beta, "threshold": batch.threshold, "groups": batch.groups}
    by_output = augment(*args, **keywords, modes=batch.outputs, outputs=batch.outputs)
    for labels in ({}, {"outputs": batch.outputs}):
        default = augment(*args, **keywords, **labels)
        np.testing.assert_allclose(by_output.rewards, default.rewards, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(by_output.anchor, default.anchor)


def forward_kl_optimum(rewards, log_q, beta):
    """``t = beta q / (L - r)`` with the L that normalises: the optimum under forward KL."""
    weights = beta * np.exp(log_q)
    low = np.max(rewards + weights)  # here the sum is at least 1
    scale = optimize.brentq(
        lambda x: np.sum(weights / (x - rewards)) - 1, low, low + 1e3, xtol=1e-14
    )
    return weights / (scale - rewards)


@pytest.mark.parametrize("beta", [0.05, 1.0])
def test_only_substitution_is_flat_under_forward_kl(beta):
    rewards, log_q = np.array([0.2, 1.0, 1.5, 0.9]), np.log([0.5, 0.3, 0.15, 0.05])
    two = anchor(rewards, log_q, threshold=0.8)
    t = forward_kl_optimum(two.rewards, two.ref_log_probs, beta)
    np.testing.assert_allclose(t[1:], t[1], rtol=1e-9)
    one = augment(rewards, log_q, beta=beta, threshold=0.8)
    t = forward_kl_optimum(one.rewards, one.ref_log_probs, beta)
    assert t.max() > 2 * t[1:].min()


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_the_scale_of_the_substituted_reference_is_a_strength(alpha):
    # r - beta f'(p / q) is constant at the optimum for q as substituted, which sums to S = 1.25.
    rewards, log_q = np.array([0.2, 1.0, 1.5, 0.9, 0.0]), np.log([0.25, 0.4, 0.15, 0.05, 0.15])
    found = anchor(rewards, log_q, threshold=0.95)
    total = np.exp(found.ref_log_probs).sum()
    divergence = alpha_divergence(alpha)

    def level(beta):
        log_t = optimal_policy(found.rewards, found.ref_log_probs, beta=beta, divergence=divergence)
        return found.rewards - 2.0 * divergence.slope(np.exp(log_t - found.ref_log_probs))

    same = level(2.0 * total ** (1 - alpha))
    np.testing.assert_allclose(same, same[0], rtol=1e-9)
    assert (alpha == 1) == np.allclose(level(2.0), level(2.0)[0])


# Known answers.


def test_hand_calculation_without_modes():
    # Good: 1, 2 and 3. The likeliest is 1 (q = .3), its reward 1 is the level.
    # r'(2) = 1 + 0.5 (log .3 - log .1) = 1 + 0.5 log 3; r'(3) = 1 + 0.5 log 3, from a reward of 2.
    rewards, log_q = np.array([0.0, 1.0, 1.0, 2.0]), np.log([0.5, 0.3, 0.1, 0.1])
    one = augment(rewards, log_q, beta=0.5, threshold=1.0)
    level = 1 + 0.5 * np.log(3)
    np.testing.assert_allclose(one.rewards, [0.0, 1.0, level, level], rtol=1e-12)
    np.testing.assert_array_equal(one.anchor, [1, 1, 1, 1])
    np.testing.assert_array_equal(one.good, [False, True, True, True])
    two = anchor(rewards, log_q, threshold=1.0)
    np.testing.assert_array_equal(two.rewards, [0.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(two.ref_log_probs, np.log([0.5, 0.3, 0.3, 0.3]), rtol=1e-12)


def test_figure_4_anchored():
    # Plain: .937 and .063. Anchored, at any small beta: one half each.
    log_q = np.log([0.68, 0.30, 0.02])
    for beta in (1e-3, 0.05):
        r = anchored_rewards([0.0, 1.0, 1.0], log_q, beta=beta, threshold=1.0)
        t = np.exp(optimal_policy(r, log_q, beta=beta))
        np.testing.assert_allclose(t, [0.0, 0.5, 0.5], rtol=1e-6, atol=1e-6)


def test_hand_calculation_with_modes():
    # Mode a has outputs of q = .2 and .1, mode b one of .25: a is likelier (.3 > .25), although
    # b has the likeliest output. The anchor is a's likelier output, with reward 3.
    # b moves up by log(.30/.25) = log 1.2 in log q, to .25 * 1.2 = .3.
    log_q = np.log([0.2, 0.1, 0.25, 0.45])
    two = anchor([3.0, 1.0, 2.0, 0.0], log_q, threshold=1.0, modes=["a", "a", "b", "b"])
    np.testing.assert_array_equal(two.anchor, [0, 0, 0, 0])
    np.testing.assert_array_equal(two.rewards, [3.0, 3.0, 3.0, 0.0])
    np.testing.assert_allclose(np.exp(two.ref_log_probs), [0.2, 0.1, 0.3, 0.45], rtol=1e-12)
    one = augment([3, 1, 2, 0], log_q, beta=2.0, threshold=1, modes=["a", "a", "b", "b"])
    np.testing.assert_allclose(one.rewards, [3.0, 3.0, 3 + 2 * np.log(1.2), 0.0], rtol=1e-12)


def test_hand_calculation_with_repeated_outputs():
    # Mode 0: output x twice (q = .2), mode 1: outputs y and z (.1 and .15). With the copies of x
    # counted once, mode 1 is the likelier (.25 > .2); counted twice, mode 0 (.4).
    log_q = np.log([0.2, 0.2, 0.1, 0.15])
    given_outputs = anchor(
        np.ones(4), log_q, threshold=1, modes=[0, 0, 1, 1], outputs=["x", "x", "y", "z"]
    )
    np.testing.assert_array_equal(given_outputs.anchor, [3, 3, 3, 3])
    np.testing.assert_allclose(
        np.exp(given_outputs.ref_log_probs), [0.25, 0.25, 0.1, 0.15], rtol=1e-12
    )
    all_distinct = anchor(np.ones(4), log_q, threshold=1, modes=[0, 0, 1, 1])
    np.testing.assert_array_equal(all_distinct.anchor, [0, 0, 0, 0])


def test_copies_whose_log_q_differs_count_at_the_largest():
    # As from two forward passes in low precision: the mode's probability is .3, not .2, .25 or .5.
    log_q = np.log([0.2, 0.3, 0.1])
    result = anchor(np.ones(3), log_q, threshold=1, modes=[0, 0, 1], outputs=[7, 7, 8])
    np.testing.assert_allclose(np.exp(result.ref_log_probs), [0.2, 0.3, 0.3], rtol=1e-12)


def test_the_same_output_or_mode_key_in_two_groups_is_not_the_same():
    # Group 0: modes a (.1) and b (.4). Group 1: mode a (.2) alone. Nothing crosses over.
    log_q = np.log([0.1, 0.4, 0.2])
    result = anchor(
        np.ones(3), log_q, threshold=1, groups=[0, 0, 1], modes=["a", "b", "a"], outputs=[1, 2, 1]
    )
    np.testing.assert_allclose(np.exp(result.ref_log_probs), [0.4, 0.4, 0.2], rtol=1e-12)
    np.testing.assert_array_equal(result.anchor, [1, 1, 2])


def test_only_good_outputs_count_in_a_mode():
    # The bad output (.6) of mode a does not make a the likelier mode: .1 against .3.
    log_q = np.log([0.6, 0.1, 0.3])
    result = anchor([0.0, 1.0, 1.0], log_q, threshold=1, modes=["a", "a", "b"])
    np.testing.assert_array_equal(result.anchor, [2, 2, 2])
    np.testing.assert_allclose(np.exp(result.ref_log_probs), [0.6, 0.3, 0.3], rtol=1e-12)


def test_ties_go_to_the_first():
    result = anchor([1.0, 2.0, 3.0], [-5.0, -1.0, -1.0], threshold=0)
    np.testing.assert_array_equal(result.anchor, [1, 1, 1])
    np.testing.assert_array_equal(result.rewards, [2.0, 2.0, 2.0])
    result = anchor([1.0, 2.0, 3.0], [-1.0, -1.0, -1.0], threshold=0, modes=["b", "a", "b"])
    np.testing.assert_array_equal(result.anchor, [0, 0, 0])


def test_one_sample_and_no_good_sample():
    for function in BOTH:
        alone = function([1.0, 2.0], [-1.0, -2.0], threshold=0, groups=[0, 1])
        np.testing.assert_array_equal(alone.rewards, [1.0, 2.0])
        np.testing.assert_array_equal(alone.ref_log_probs, [-1.0, -2.0])
        np.testing.assert_array_equal(alone.anchor, [0, 1])
        none = function(
            [1.0, np.nan, 9.0], [-1.0, -2.0, -np.inf], threshold=5, modes=[0, 0, 0], outputs=[0] * 3
        )
        np.testing.assert_array_equal(none.rewards, [1.0, np.nan, 9.0])
        np.testing.assert_array_equal(none.ref_log_probs, [-1.0, -2.0, -np.inf])
        np.testing.assert_array_equal(none.anchor, [-1, -1, -1])
        assert not none.good.any()


def test_unknown_log_q_is_not_good():
    result = anchor([1.0, 1.0, 1.0], [np.nan, -2.0, -1.0], threshold=0)
    np.testing.assert_array_equal(result.good, [False, True, True])
    np.testing.assert_array_equal(result.ref_log_probs, [np.nan, -1.0, -1.0])


@each_library
def test_threshold_per_group_and_per_row(to):
    rewards = to(np.array([[[1.0, 2.0] * 3], [[3.0, 4.0] * 3]]))
    log_q = to(np.full((2, 1, 6), -1.0))
    good = anchor(rewards, log_q, threshold=to(np.array([[[2.0]], [[3.0]]]))).good
    np.testing.assert_array_equal(np.asarray(good), [[[False, True] * 3], [[True] * 6]])
    good = anchor(rewards, log_q, threshold=to(np.array([2.0, 4.0] * 3))).good
    np.testing.assert_array_equal(np.asarray(good), [[[False] * 6], [[True] * 6]])


@each_library
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_reward_equal_to_the_threshold_is_good_in_every_precision(to, dtype):
    rewards = to(np.array([0.7, 0.1] * 3, dtype=dtype))
    for threshold in (0.7, np.float64(0.7), to(np.array(0.7))):
        good = anchor(rewards, to(np.zeros(6, dtype=dtype)), threshold=threshold).good
        np.testing.assert_array_equal(np.asarray(good), [True, False] * 3)


@each_library
def test_integer_and_boolean_rewards_become_floating(to):
    log_q = to(np.log(np.array([0.5, 0.3, 0.2] * 2, dtype=np.float32)))
    for rewards in (np.array([0, 1, 1] * 2), np.array([False, True, True] * 2)):
        result = augment(to(rewards), log_q, beta=0.1, threshold=0.5)
        assert result.rewards.dtype == result.ref_log_probs.dtype == log_q.dtype
        np.testing.assert_allclose(
            np.asarray(result.rewards), [0, 1, 1 + 0.1 * np.log(1.5)] * 2, rtol=1e-6
        )


@given(batches(), BETAS)
def test_float32_is_close(batch, beta):
    narrow = [x.astype(np.float32) for x in (batch.rewards, batch.ref_log_probs)]
    expected = anchored_rewards(
        batch.rewards, batch.ref_log_probs, beta=beta, threshold=batch.threshold, **batch.labels
    )
    actual = anchored_rewards(*narrow, beta=beta, threshold=batch.threshold, **batch.labels)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("beta", [1e-6, 1e6])
def test_extreme_strengths_rewards_and_probabilities(beta):
    log_q = np.array([-700.0, -1e-9, -350.0])
    result = augment([1e6, -1e6, 1e6], log_q, beta=beta, threshold=-1e6)
    expected = -1e6 + beta * (np.array([700.0, 0.0, 350.0]))
    np.testing.assert_allclose(result.rewards, expected, rtol=1e-9)
    t = optimal_policy(result.rewards, log_q, beta=beta)
    np.testing.assert_allclose(t, -np.log(3), rtol=1e-3)


def test_anchored_rewards_are_those_of_augment():
    rewards, log_q = np.array([0.0, 1.0, 2.0, 1.0]), np.log([0.4, 0.3, 0.2, 0.1])
    keywords = {
        "beta": 0.3,
        "threshold": 1.0,
        "groups": [0, 1, 1, 1],
        "modes": ["a", "b", "c", "c"],
        "outputs": [1, 2, 3, 3],
        "choice": "most_likely",
    }
    expected = augment(rewards, log_q, **keywords)
    actual = anchored_rewards(rewards, log_q, **keywords)
    np.testing.assert_array_equal(actual, expected.rewards)


def test_result_is_frozen():
    result = anchor([1.0], [0.0], threshold=0)
    with pytest.raises(AttributeError):
        result.rewards = None


def test_anchoring_is_differentiable():
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([0.0, 1.0, 2.0, 1.5], dtype=torch.float64, requires_grad=True)
    log_q = torch.tensor([-1.0, -1.5, -3.0, -2.0], dtype=torch.float64, requires_grad=True)
    for labels in ({}, {"groups": [0, 0, 1, 1]}, {"modes": ["a", "a", "b", "b"]}):
        for function in BOTH:
            assert torch.autograd.gradcheck(
                lambda r, q, f=function, kw=labels: f(r, q, threshold=0.9, **kw).ref_log_probs,
                (rewards, log_q),
            )
            assert torch.autograd.gradcheck(
                lambda r, q, f=function, kw=labels: f(r, q, threshold=0.9, **kw).rewards,
                (rewards, log_q),
            )


# Messages.


@pytest.mark.parametrize("function", BOTH, ids=BOTH_IDS)
def test_bad_threshold(function):
    for threshold in (float("nan"), float("inf"), -np.inf):
        with pytest.raises(ArgumentError, match=r"^threshold must be finite, got"):
            function([0.0], [0.0], threshold=threshold)
    with pytest.raises(ArgumentError, match="threshold must be an array of real numbers, got dt"):
        function([0.0], [0.0], threshold="0.8")
    with pytest.raises(ArgumentError, match="threshold must be an array of real numbers, got dt"):
        function([0.0], [0.0], threshold=None)
    for shape in [(3,), (2, 2), (1, 2)]:
        with pytest.raises(ShapeError, match=r"threshold must broadcast .* rewards \(2,\)"):
            function([0.0, 0.0], [0.0, 0.0], threshold=np.zeros(shape))


@pytest.mark.parametrize("function", BOTH, ids=BOTH_IDS)
def test_threshold_of_another_library(function):
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match="rewards from torch, threshold from numpy"):
        function(torch.zeros(2), torch.zeros(2), threshold=np.zeros(2))


@pytest.mark.parametrize("function", BOTH, ids=BOTH_IDS)
@pytest.mark.parametrize("name", ["modes", "outputs"])
def test_bad_keys(function, name):
    for keys in ([0.5, 1.5], [True, False], [None, "a"], [1, "a"], [b"a", b"b"]):
        with pytest.raises(ArgumentError, match=f"^{name} must be integer or string keys, got dty"):
            function([0.0, 0.0], [0.0, 0.0], threshold=0, **{name: keys})
    for keys in (["a"], ["a", "b", "c"], "ab", [[1, 2]]):
        with pytest.raises(ShapeError, match=f"^{name} must have one label for each sample of a"):
            function([0.0, 0.0], [0.0, 0.0], threshold=0, **{name: keys})


@pytest.mark.parametrize("function", BOTH, ids=BOTH_IDS)
def test_labels_of_another_library(function):
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match="rewards from numpy, modes from torch"):
        function(np.zeros(2), np.zeros(2), threshold=0, modes=torch.tensor([0, 1]))


@pytest.mark.parametrize("function", BOTH, ids=BOTH_IDS)
def test_unknown_choice_suggests_the_known_one(function):
    with pytest.raises(ArgumentError, match="got 'most-likely'; did you mean 'most_likely'"):
        function([0.0], [0.0], threshold=0, choice="most-likely")


def test_all_problems_are_reported_at_once():
    with pytest.raises(ArgumentError) as caught:
        augment(
            np.zeros(2),
            np.zeros(3),
            beta=-1,
            threshold=np.nan,
            groups=["a", "b"],
            modes=[0.5, 0.5],
            outputs=[1],
            choice="least_likely",
        )
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "rewards,",
        "threshold",
        "groups",
        "modes",
        "outputs",
        "choice",
        "beta",
    ]


def test_shape_problems_alone_are_a_shape_error():
    with pytest.raises(ShapeError) as caught:
        anchor(np.zeros(2), np.zeros(3), threshold=np.zeros(4), groups=[1], outputs=["a"])
    assert len(caught.value.problems) == 4


def test_one_long_key_costs_no_memory_for_all_the_others():
    # Keys may be whole texts. NumPy's own strings would take 4 bytes * 1000 * 100,000 = 400 MB.
    texts = ["x" * 100_000, *map(str, range(999))]
    tracemalloc.start()
    result = anchor(np.ones(1000), np.arange(-1000.0, 0.0), threshold=0, modes=texts, outputs=texts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000
    np.testing.assert_array_equal(result.ref_log_probs, np.full(1000, -1.0))
