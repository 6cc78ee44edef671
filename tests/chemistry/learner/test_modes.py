"""What is known of modes, and the pressure on them, against restatements and limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.chemistry.learner.mode_memory import ModeMemory
from polymode.chemistry.learner.modes import ModeLabels
from polymode.chemistry.learner.pressure import (
    Pressure,
    allowed_visits,
    mass_pressure,
    visit_pressure,
)
from polymode.errors import ArgumentError, ShapeError

HITS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.floats(-50, -1)), min_size=1
)


@given(HITS)
def test_memory_is_logsumexp_over_distinct_strings(hits):
    memory, first = ModeMemory(), {}
    for mode, output, log_q in hits:
        memory.add([mode], [f"{mode}{output}"], [log_q])
        first.setdefault(f"{mode}{output}", log_q)
    for number, mode in enumerate(memory.labels):
        members = [log_q for output, log_q in first.items() if output[0] == mode]
        assert memory.n_members[number] == len(members)
        assert memory.log_mass[number] == pytest.approx(np.logaddexp.reduce(members))


@given(HITS)
def test_memory_goes_on_from_its_state(hits):
    modes, outputs, log_q = zip(*[(m, f"{m}{o}", q) for m, o, q in hits], strict=True)
    memory, other = ModeMemory(), ModeMemory()
    memory.add(modes, outputs, log_q)
    memory.count(modes)
    other.load_state(memory.state())
    for each in (memory, other):
        each.add(["z", *modes], ["new", *outputs], [-3.0, *log_q])
        each.count(["z"])
    for name in ("labels", "log_mass", "n_members", "n_samples", "recent"):
        assert list(getattr(memory, name)) == list(getattr(other, name))


def test_counts_grow_and_recent_ones_decay():
    memory = ModeMemory(decay=0.5)
    memory.add(["a", "b"], ["x", "y"], [-1.0, -2.0])
    memory.count(["a", "a", "b"])
    memory.count(["a"])
    assert memory.n_samples.tolist() == [3, 1]
    assert memory.recent.tolist() == [2.0, 0.5]  # 2/2 + 1 and 1/2
    # One more draw is spread over both: (2 + 1/2) / 3.5
    assert memory.shares().tolist() == pytest.approx([2.5 / 3.5, 1 / 3.5])


def test_memory_grows_beyond_its_first_room():
    memory = ModeMemory()
    memory.add(range(1000), [str(i) for i in range(1000)], np.arange(1000.0))
    assert memory.log_mass.tolist() == list(range(1000))


@given(st.lists(st.integers(0, 10**6), min_size=1), st.floats(1, 1e4), st.floats(0, 100))
def test_visits_are_a_concave_bucket(counts, visits, gap):
    n = np.sort(np.array(counts, dtype=float))
    pressure = visit_pressure(n, visits=visits, gap=gap)
    assert (np.diff(pressure) >= 0).all()
    assert (pressure <= gap).all()
    assert pressure[n >= visits] == pytest.approx(gap)
    below = n <= visits
    lam = gap / math.log1p(visits)
    assert pressure[below] == pytest.approx(lam * np.log1p(n[below]))


def test_prototype_of_lam_15_is_a_bucket_of_54():
    # sigma 60, level 1, floor 0: 60 / log(1 + k) = 15 where k = e^4 - 1
    pressure = visit_pressure(np.array([0.0, 9.0]), visits=math.exp(4) - 1, gap=60.0)
    assert pressure == pytest.approx([0.0, 15 * math.log(10)])


def test_uncapped_modes_go_on_falling():
    capped, free = (
        visit_pressure(np.array([3.0, 15.0]), visits=3, gap=10.0, capped=one)
        for one in (True, False)
    )
    assert capped.tolist() == [10.0, 10.0]
    assert free.tolist() == [10.0, 20.0]  # log 16 = 2 log 4
    memory = ModeMemory()
    memory.add(["a"], ["x"], [-1.0])
    memory.count(["a"] * 15)
    assert Pressure("visits", visits=3, capped=False).on(memory, gap=10.0).tolist() == [20.0]


def test_no_limit_on_visits_and_no_gap_are_no_pressure():
    counts = np.array([0.0, 10.0, 1e9])
    assert not visit_pressure(counts, visits=math.inf, gap=30.0).any()
    assert not visit_pressure(counts, visits=5.0, gap=-1.0).any()


def test_visits_flatten_what_weights_leave_uneven():
    # Draws follow w (1 + n)^-lam: shares go to w^(1 / (1 + lam)), here 9^(1/4) : 1 for lam = 3.
    weights, n = np.array([9.0, 1.0]), np.zeros(2)
    for _ in range(20_000):
        share = weights * np.exp(-visit_pressure(n, visits=math.e**10 - 1, gap=30.0))
        n += share / share.sum()
    assert n[0] / n[1] == pytest.approx(9**0.25, rel=0.01)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.floats(0, 5))
def test_even_shares_are_the_fixed_point_of_mass_and_averages_reach_it(start, strength):
    p = np.array(start) / sum(start)
    assert mass_pressure(np.full(4, 0.25), strength=strength, gap=9.0) == pytest.approx(0)
    step = 1 / (1 + strength)  # a (1 + lam) = 1: well within the bound of 2
    for _ in range(200):
        wanted = np.exp(-mass_pressure(p, strength=strength, gap=math.inf))
        p = (1 - step) * p + step * wanted / wanted.sum()
    assert p == pytest.approx(1 / len(p), rel=1e-6)


def test_undamped_mass_with_strength_above_one_never_settles():
    p = np.array([0.5001, 0.4999])
    for _ in range(30):
        wanted = np.exp(-mass_pressure(p, strength=1.5, gap=math.inf))
        p = wanted / wanted.sum()
    assert abs(p[0] - 0.5) > 0.3


def test_mass_is_capped_by_the_gap():
    shares = np.array([0.98, 0.01, 0.01])
    pressure = mass_pressure(shares, strength=30.0, gap=20.0)
    assert pressure[0] == 20.0
    assert pressure[1] == pytest.approx(30 * math.log(0.03))
    assert mass_pressure(np.zeros(0), strength=1.0, gap=1.0).shape == (0,)


def test_budget_is_spread_over_modes():
    assert allowed_visits(1000, 4, share=0.5, at_least=8) == 125
    assert allowed_visits(1000, 400, share=0.5, at_least=8) == 8
    assert allowed_visits(1000, 0, share=1, at_least=8) == 1000
    memory = ModeMemory()
    memory.add(["a", "b"], ["x", "y"], [-1.0, -1.0])
    memory.count(["a"] * 50)
    kind = Pressure("visits", visits="budget", budget_share=0.5, min_visits=2)
    on = [kind.on(memory, gap=30.0, remaining=n)[0] for n in (math.inf, 10_000, 1000, 0)]
    # Visits without limit, 2500, 250 and 2
    assert on == pytest.approx(
        [0, 30 * math.log(51) / math.log(2501), 30 * math.log(51) / math.log(251), 30]
    )
    assert not Pressure("none").on(memory, gap=30.0).any()
    mass = Pressure("mass", strength=2.0).on(memory, gap=30.0)
    assert mass[0] == pytest.approx(2 * math.log(2 * memory.shares()[0]))


def test_labels_of_each_kind():
    names = ["Oc1ccccc1", "Cc1ccncc1", "CCCO", None, "CCO"]
    good = np.array([True, True, True, False, False])
    labels = {kind: ModeLabels(kind)(names, good) for kind in ("murcko", "generic", "canonical")}
    assert labels["murcko"] == ["c1ccccc1", "c1ccncc1", "", "invalid", ""]
    assert labels["generic"][0] == labels["generic"][1]
    assert labels["canonical"] == ["Oc1ccccc1", "Cc1ccncc1", "CCCO", "invalid", "CCO"]
    assert ModeLabels("none")(names, good) is None
    # Only hits found clusters: CCO is near CCCO, and is no hit.
    assert ModeLabels("cluster")(names, good) == [0, 1, 2, "invalid", "CCO (no hit)"]


def test_clusters_go_on_from_their_state():
    labels, other = ModeLabels("cluster"), ModeLabels("cluster")
    hit = np.array([True])
    assert labels(["CCCO"], hit) == [0]
    other.load_state(labels.state())
    assert other(["c1ccccc1"], hit) == [1]
    assert other(["CCO"], hit) == [0]
    near = ModeLabels("cluster", near_misses=True)
    none = np.array([False])
    assert near(["CCO"], none) == ["CCO (no hit)"]
    assert near(["CCCO"], hit) == [0]
    assert near(["CCO"], none) == [0]
    assert near(["c1ccccc1"], none) == ["c1ccccc1 (no hit)"]
    wide = ModeLabels("cluster", distance=1.0)
    assert wide(["CCCO", "c1ccccc1"], np.array([True, True])) == [0, 0]


def test_messages():
    with pytest.raises(ShapeError, match="must be one length, got 1, 2 and 1"):
        ModeMemory().add(["a"], ["x", "y"], [0.0])
    with pytest.raises(ArgumentError, match="decay must be a number in"):
        ModeMemory(decay=2)
