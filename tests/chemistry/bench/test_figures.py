"""Figures of a run, by hand on tables of a few calls."""

import math

import numpy as np
import pytest

pytest.importorskip("rdkit")

from polymode.chemistry.bench.figures import (
    FIGURES,
    learning_curves,
    run_figures,
    stopped_early,
)
from polymode.diagnostics.chemistry import Calls, read_calls
from polymode.errors import InputError

TABLE = {
    "step": [1, 1, 1, 2, 2, 2, 3],
    "canonical": ["CCO", None, "c1ccccc1", "CCO", "Cc1ccccc1", "CCN", "CCCC"],
    "reward": [0.9, 0.0, 0.8, 0.9, 0.7, math.nan, 0.1],
    "valid": [True, False, True, True, True, True, True],
    "new": [True, False, True, False, True, True, False],
    "status": ["ok", "invalid", "ok", "ok", "ok", "failed", "over_budget"],
}


def calls(rewards, steps):
    names = tuple("C" * (i + 1) for i in range(len(rewards)))
    n = len(rewards)
    return Calls(names, np.array(rewards, float), np.array(steps), np.arange(n), n, n)


def test_calls_are_the_molecules_that_were_new():
    found = read_calls(TABLE)
    assert found.smiles == ("CCO", "c1ccccc1", "Cc1ccccc1", "CCN")
    assert found.steps.tolist() == [1, 1, 2, 2]
    assert (found.n_samples, found.n_valid) == (6, 5)  # what was over budget was not drawn


def test_a_table_of_something_else_is_refused():
    with pytest.raises(InputError, match="no column status"):
        read_calls({name: column for name, column in TABLE.items() if name != "status"})


def test_figures_by_hand():
    found = run_figures(read_calls(TABLE), threshold=0.7, budget=10)
    assert set(found) == set(FIGURES)
    assert found["yield"] == 3
    assert found["ob1"] == 1
    assert math.isnan(found["ob10"])
    assert found["scaffolds"] == 2  # none, and benzene
    assert found["top_scaffold_share"] == pytest.approx(2 / 3)
    assert found["frac_valid"] == pytest.approx(5 / 6)
    assert found["frac_repeats"] == pytest.approx(1 - 4 / 5)
    assert (found["n_calls"], found["n_steps"]) == (4, 2)
    # All are further than 0.70 apart, but benzene and toluene (0.727) not than 0.75
    assert (found["circles_070"], found["diverse_hits"], found["circles_075"]) == (3, 3, 2)
    # One interval: a straight line from 0 to the best of 0.9 in 4 calls, flat for the other 6
    assert found["auc_top1"] == pytest.approx((4 * 0.45 + 6 * 0.9) / 10)


def test_a_run_without_hits_has_figures_without_numbers():
    found = run_figures(calls([0.1, 0.2], [1, 1]), threshold=0.5, budget=2)
    assert (found["yield"], found["diverse_hits"], found["scaffolds"]) == (0, 0, 0)
    assert math.isnan(found["ob1"])
    assert math.isnan(found["int_div1"])
    assert math.isnan(found["top_scaffold_share"])


def test_calls_after_the_budget_do_not_count():
    found = run_figures(calls([0.1, 0.9], [1, 2]), threshold=0.5, budget=1)
    assert (found["n_calls"], found["yield"]) == (1, 0)


def test_curves_have_a_point_for_each_hundred_and_the_end():
    rewards = [0.9 if i % 50 == 0 else 0.1 for i in range(250)]
    steps, rows = np.ones(250, int), np.arange(250)
    run = Calls(tuple(["CCO"] * 250), np.array(rewards), steps, rows, 250, 250)
    curves = learning_curves(run, threshold=0.5, budget=1000, sparse=200)
    assert curves["n_calls"] == [100, 200, 250]
    assert curves["yield"] == [2, 4, 5]
    assert curves["top1"] == [0.9, 0.9, 0.9]
    assert curves["top10"] == pytest.approx([(2 * 0.9 + 8 * 0.1) / 10, 0.42, 0.5])
    assert curves["scaffolds"] == [1, 1, 1]
    assert curves["sparse_n_calls"] == [200, 250]
    assert curves["diverse_hits"] == [1, 1]


def test_pmos_patience_ends_a_run_after_five_idle_steps():
    # 20 steps of 60 calls; from call 1,080 on nothing enters the best hundred, which are ones
    rewards = np.r_[np.ones(120), np.zeros(1080)]
    steps = np.repeat(np.arange(1, 21), 60)
    run = calls(rewards, steps)
    # steps 17 to 20 end at 1,020 to 1,200 calls: only four, so that it goes on
    assert len(stopped_early(run)) == 1200
    # a step more, and the fifth idle one is the last; what comes after is cut
    longer = calls(np.r_[rewards, np.zeros(120)], np.r_[steps, np.repeat([21, 22], 60)])
    assert len(stopped_early(longer)) == 1260
    # a better molecule in between starts the count again
    rewards[1100] = 2.0
    again = calls(np.r_[rewards, np.zeros(120)], np.r_[steps, np.repeat([21, 22], 60)])
    assert len(stopped_early(again)) == 1320


def test_steps_without_a_new_molecule_wear_patience_down():
    rewards = np.r_[np.ones(120), np.zeros(1000)]
    steps = np.r_[np.repeat(np.arange(1, 18), 60), np.repeat(25, 100)]
    # the end of step 17 is call 1,020; steps 18 to 24 made no call, and step 21 is the fifth idle
    assert len(stopped_early(calls(rewards, steps))) == 1020
