"""Targets against the optimum that the core computes, over languages that are known whole."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.chemistry.learner.mode_memory import ModeMemory
from polymode.chemistry.learner.pressure import Pressure
from polymode.chemistry.learner.rows import Rows
from polymode.chemistry.learner.targets import AnchoredModes, ShaperTarget
from polymode.core import anchored_rewards, optimal_policy, shape

SIGMA, TAU = 10.0, 0.5


def rows_of(rewards, log_q, modes=None, smiles=None, shaped=None):
    rewards, n = np.asarray(rewards, dtype=float), len(rewards)
    names = smiles or [f"s{i}" for i in range(n)]
    return Rows(
        smiles=names,
        canonical=names,
        rewards=rewards,
        good=rewards >= TAU,
        ref_log_probs=np.asarray(log_q, dtype=float),
        log_probs=np.linspace(-9, -5, n),
        n_tokens=np.arange(1, n + 1),
        modes=modes,
        shaped=np.zeros(0) if shaped is None else np.asarray(shaped, dtype=float),
    )


LANGUAGES = st.lists(
    st.tuples(st.floats(0, 1), st.floats(-8, 0), st.sampled_from("abc"), st.booleans()),
    min_size=2,
    max_size=12,
)


@given(LANGUAGES)
def test_share_of_a_mode_is_one_over_its_coverage(language):
    rewards, log_q, modes, seen = map(list, zip(*language, strict=True))
    everything = rows_of(rewards, log_q, modes)
    good = everything.good
    seen = [i for i in range(len(rewards)) if seen[i] and good[i]]
    if not seen:
        return
    known = {modes[i] for i in seen}
    target = AnchoredModes(ModeMemory(), sigma=SIGMA, threshold=TAU)
    target.shape(everything.take(seen))
    # What the target says of every string, seen or not, with the memory as it is: hits of modes
    # that were never seen do not count.
    memory = target.memory
    r = np.array(rewards)
    counted = np.array([not hit or mode in known for hit, mode in zip(good, modes, strict=True)])
    hits = np.flatnonzero(good & counted)
    number = memory.index([modes[i] for i in hits])
    gap = memory.log_mass.max() - memory.log_mass[number]
    r[hits] = target.level + gap / SIGMA
    t = np.exp(optimal_policy(r[counted], np.array(log_q)[counted], beta=1 / SIGMA))
    of = [modes[i] for i in np.flatnonzero(counted)]
    hit = good[counted]
    masses, coverage = [], []
    for mode in known:
        members = np.array([m == mode for m in of]) & hit
        masses.append(t[members].sum())
        whole = np.exp(np.array(log_q)[counted][members]).sum()
        part = np.exp(np.array(log_q)[[i for i in seen if modes[i] == mode]]).sum()
        coverage.append(part / whole)
    assert np.array(masses) * coverage == pytest.approx(masses[0] * coverage[0])


@given(LANGUAGES)
def test_a_hit_that_comes_in_counts_its_own_mass_and_asks_for_one_share_at_most(language):
    rewards, log_q, modes, seen = map(list, zip(*language, strict=True))
    everything = rows_of(rewards, log_q, modes)
    hits = np.flatnonzero(everything.good).tolist()
    known = [i for i in hits if seen[i]]
    shares = dict.fromkeys([modes[i] for i in known], 0.0)
    for i in hits:
        target = AnchoredModes(ModeMemory(), sigma=SIGMA, threshold=TAU)
        if known:
            target.shape(everything.take(known))
        (shaped,) = target.shape(everything.take([i]))
        lifted = SIGMA * (shaped - target.level) - target.memory.log_mass.max()
        share = math.exp(log_q[i] + lifted)  # in units of a flat mode
        whole = sum(math.exp(log_q[j]) for j in {i, *known} if modes[j] == modes[i])
        assert share == pytest.approx(math.exp(log_q[i]) / whole)
        assert share <= 1 + 1e-9
        if modes[i] in shares:
            shares[modes[i]] += share
    for mode, share in shares.items():
        q = sum(math.exp(log_q[i]) for i in hits if modes[i] == mode)
        q_hat = sum(math.exp(log_q[i]) for i in known if modes[i] == mode)
        assert 1 - 1e-9 <= share <= q / q_hat + 1e-9


@given(LANGUAGES)
def test_modes_seen_whole_are_flat_and_agree_with_the_core(language):
    rewards, log_q, modes, _ = map(list, zip(*language, strict=True))
    rows = rows_of(rewards, log_q, modes)
    if not rows.good.any():
        return
    # The core anchors at the reward of the anchor, here given as the level; all in one batch.
    r = np.where(rows.good, 0.9, rows.rewards)
    core = anchored_rewards(r, rows.ref_log_probs, beta=1 / SIGMA, threshold=TAU, modes=modes)
    target = AnchoredModes(ModeMemory(), sigma=SIGMA, threshold=TAU, level=0.9)
    assert target.shape(rows) == pytest.approx(core)


def test_memory_reaches_over_batches():
    target = AnchoredModes(ModeMemory(), sigma=SIGMA, threshold=TAU, level=1.0)
    target.shape(rows_of([1.0, 0.9], np.log([0.4, 0.1]), ["a", "b"], ["x", "y"]))
    # b is now 0.1 + 0.1, the level is that of a, which is not in this batch; z is a near-miss.
    got = target.shape(rows_of([0.6, 0.4], np.log([0.1, 0.2]), ["b", "c"], ["w", "z"]))
    assert got == pytest.approx([1 + math.log(0.4 / 0.2) / SIGMA, 0.4])


def test_replay_changes_no_count_and_learns_new_strings():
    target = AnchoredModes(ModeMemory(), sigma=SIGMA, threshold=TAU)
    rows = rows_of([1.0, 1.0], np.log([0.4, 0.1]), ["a", "b"], ["x", "y"])
    target.shape(rows)
    target.shape_again(rows)
    assert target.memory.n_samples.tolist() == [1, 1]
    other = rows_of([1.0], np.log([0.3]), ["b"], ["another string of y"])
    assert target.shape_again(other) == pytest.approx([1.0])  # both have 0.4 now
    assert target.memory.n_members.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("floor", "gap"),
    # Level 0.9; the mean of what is no hit is 0.2.
    [("threshold", SIGMA * 0.4), ("mean", SIGMA * 0.7), (0.1, SIGMA * 0.8), (0.95, 0.0)],
)
def test_used_up_modes_fall_to_the_floor(floor, gap):
    pressure = Pressure("visits", visits=3.0)
    target = AnchoredModes(
        ModeMemory(), sigma=SIGMA, threshold=TAU, level=0.9, floor=floor, pressure=pressure
    )
    hits = rows_of([0.7] * 4 + [0.2], np.log([0.1] * 4 + [0.3]), ["a"] * 4 + ["b"])
    assert target.gap == pytest.approx(SIGMA * 0.9 if floor == "mean" else gap)
    got = target.shape(hits)
    assert target.gap == pytest.approx(gap)
    assert got[0] == pytest.approx(0.9 - gap / SIGMA)
    assert target.mode_shares().tolist() == [1.0]


def test_promised_shares_follow_the_pressure():
    pressure = Pressure("visits", visits=math.e**2 - 1)
    target = AnchoredModes(
        ModeMemory(), sigma=SIGMA, threshold=TAU, level=1.0, floor=0.8, pressure=pressure
    )
    assert target.mode_shares().shape == (0,)
    target.shape(rows_of([1.0] * 3, np.log([0.1, 0.2, 0.3]), ["a", "a", "b"]))
    # gap 2 nats, lam 1: weights 1/(1 + n) of 2 and 1 visits
    assert target.mode_shares() == pytest.approx([2 / 5, 3 / 5])


def test_near_misses_lose_their_reward_with_their_mode():
    pressure = Pressure("visits", visits=3.0, near_misses=True)
    target = AnchoredModes(ModeMemory(), sigma=SIGMA, threshold=TAU, floor=0.0, pressure=pressure)
    # One visit of three: half of the way in logs, log 2 / log 4. Mode b has no hit.
    rows = rows_of([1.0, 0.4, 0.4, 0.0], [-1.0] * 4, ["a", "a", "b", "a"])
    assert target.shape(rows) == pytest.approx([0.5, 0.2, 0.4, 0.0])
    target.memory.count(["a"] * 100)
    assert target.shape_again(rows) == pytest.approx([0.0, 0.0, 0.4, 0.0])


def test_best_level_is_that_of_the_best_hit_so_far():
    target = AnchoredModes(ModeMemory(), sigma=SIGMA, threshold=TAU, level="best")
    assert target.level == TAU
    target.shape(rows_of([0.7, 0.6], [-1.0, -2.0], ["a", "a"]))
    target.shape(rows_of([0.55], [-1.0], ["a"]))
    assert target.level == 0.7


def test_budget_reaches_the_pressure():
    target = AnchoredModes(
        ModeMemory(), sigma=SIGMA, threshold=TAU, pressure=Pressure("visits", min_visits=1)
    )
    rows = rows_of([1.0], [-1.0], ["a"])
    assert target.shape(rows, remaining=1e9)[0] > target.shape_again(rows, remaining=1)[0]


@pytest.mark.parametrize("carry", [True, False])
def test_anchors_of_strings_are_carried_or_not(carry):
    target = ShaperTarget("anchored", sigma=SIGMA, threshold=TAU, carry=carry)
    target.shape(rows_of([0.8, 0.3], [-5.0, -1.0]))
    got = target.shape(rows_of([0.9, 0.6], [-7.0, -8.0], smiles=["u", "v"]))
    anchor, log_q = (0.8, -5.0) if carry else (0.9, -7.0)
    assert got == pytest.approx([anchor + (log_q + 7) / SIGMA, anchor + (log_q + 8) / SIGMA])
    replayed = rows_of([0.6, 0.3], [-9.0, -1.0], shaped=[7.0, 8.0])
    again = target.shape_again(replayed)
    assert again == pytest.approx([0.8 + 4 / SIGMA, 0.3] if carry else [7.0, 8.0])


def test_two_copies_of_a_string_are_one_output_of_their_mode():
    target = ShaperTarget("anchored", sigma=SIGMA, threshold=TAU, carry=False)
    log_q = np.log([0.2, 0.2, 0.3])
    got = target.shape(rows_of([1.0] * 3, log_q, ["a", "a", "b"], ["x", "x", "y"]))
    assert got == pytest.approx([1 + math.log(0.3 / 0.2) / SIGMA] * 2 + [1.0])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("plain", {}),
        ("unlikeliness", {"strength": 0.5}),
        ("inverse_probability", {}),
        ("entropy_bonus", {"strength": 0.1}),
    ],
)
def test_shapers_are_those_of_the_core(name, parameters):
    rows = rows_of([1.0, 0.8, 0.1], [-3.0, -4.0, -2.0], ["a", "a", "b"], shaped=[5.0, 6.0, 7.0])
    needed = {"threshold": TAU} if name == "unlikeliness" else {}
    core = shape(
        name,
        rows.rewards,
        rows.ref_log_probs,
        log_probs=rows.log_probs,
        lengths=rows.n_tokens.astype(float),
        modes=rows.modes,
        **needed,
        **parameters,
    )
    target = ShaperTarget(name, sigma=SIGMA, threshold=TAU, parameters=parameters)
    assert target.shape(rows) == pytest.approx(core)
    again = rows.rewards if name == "plain" else rows.shaped
    assert target.shape_again(rows).tolist() == again.tolist()


@pytest.mark.parametrize("make", [
    lambda: ShaperTarget("anchored", sigma=SIGMA, threshold=TAU),
    lambda: AnchoredModes(
        ModeMemory(), sigma=SIGMA, threshold=TAU, level="best", floor="mean",
        pressure=Pressure("visits", visits=9),
    ),
])  # fmt: skip
def test_targets_go_on_from_their_state(make):
    first, second = make(), make()
    first.shape(rows_of([0.8, 0.3, 0.6], [-5.0, -1.0, -6.0], ["a", "b", "c"]))
    second.load_state(first.state())
    more = rows_of([0.7, 0.4, 0.9], [-4.0, -1.0, -9.0], ["a", "b", "d"], ["u", "v", "w"])
    assert first.shape(more).tolist() == second.shape(more).tolist()
    assert first.state().keys() == second.state().keys()
