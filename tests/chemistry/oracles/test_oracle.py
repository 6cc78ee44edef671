"""The oracle: cache, budget, statuses, losses, state."""

import json

import numpy as np
import pytest

from polymode.chemistry.oracles import Component, Endpoint, Oracle
from polymode.errors import ArgumentError, InputError

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


class Counting:
    """Counts atoms, and the molecules it was asked for."""

    def __init__(self):
        self.n_asked = 0

    def __call__(self, mols):
        self.n_asked += len(mols)
        return np.array([mol.GetNumAtoms() / 100 for mol in mols])


def oracle_of(function, **options):
    return Oracle([Component("f", function)], **options)


def test_a_molecule_is_measured_once_however_it_is_written():
    function = Counting()
    oracle = oracle_of(function)
    first = oracle(["CCO", "OCC", "C(O)C", "CCC"])
    again = oracle(["CCC", "CCO"])
    assert function.n_asked == oracle.n_calls == 2
    assert first.canonical == ("CCO", "CCO", "CCO", "CCC")
    assert first.new.tolist() == [True, False, False, True]
    assert again.new.tolist() == [False, False]
    np.testing.assert_array_equal(first.rewards, [0.03, 0.03, 0.03, 0.03])
    np.testing.assert_array_equal(again.raw["f"], [0.03, 0.03])


@pytest.mark.parametrize("string", ["", "C1CC", "xyz", "c1cc1", "C(C)(C)(C)(C)C"])
def test_what_is_no_molecule_is_worth_nothing_and_costs_nothing(string):
    scores = oracle_of(Counting())([string, "C"])
    assert scores.rewards.tolist() == [0.0, 0.01]
    assert scores.status == ("invalid", "ok")
    assert scores.canonical == (None, "C")
    assert scores.new.tolist() == [False, True]
    assert np.isnan(scores.raw["f"][0])


def test_budget_counts_new_molecules_and_what_is_known_stays_free():
    function = Counting()
    oracle = oracle_of(function, budget=2)
    scores = oracle(["C", "C", "CC", "CCC", "CCC", "xx", "CC"])
    assert scores.status == ("ok", "ok", "ok", "over_budget", "over_budget", "invalid", "ok")
    assert np.isnan(scores.rewards[3:5]).all()
    assert scores.new.tolist() == [True, False, True, False, False, False, False]
    assert oracle.exhausted
    assert function.n_asked == 2
    assert oracle(["CC", "CCC"]).status == ("ok", "over_budget")
    assert oracle.counts["over_budget"] == 3


def test_a_state_goes_through_json_and_the_next_oracle_goes_on():
    first = Oracle([Component("f", Counting()), Component("g", _nan_for_rings)], budget=4)
    before = first(["CCO", "c1ccccc1", "xx"])
    state = json.loads(json.dumps(first.state(), allow_nan=False))
    function = Counting()
    second = Oracle([Component("f", function), Component("g", _nan_for_rings)], budget=4)
    second.load_state(state)
    after = second(["OCC", "C1=CC=CC=C1", "xx", "C"])
    assert function.n_asked == 1
    assert second.n_calls == 3
    assert after.new.tolist() == [False, False, False, True]
    np.testing.assert_array_equal(after.rewards[:3], before.rewards)
    assert after.status[:3] == before.status == ("ok", "failed", "invalid")
    assert second.messages == first.messages


def test_a_state_of_other_components_is_refused():
    state = oracle_of(Counting()).state()
    with pytest.raises(InputError, match="endpoints f, this one has g: start a new run"):
        Oracle([Component("g", Counting())]).load_state(state)
    with pytest.raises(InputError, match="no state of an oracle"):
        oracle_of(Counting()).load_state({"version": 1})


def test_arguments_are_checked_together():
    twice = [Component("f", Counting(), endpoints=(Endpoint("f", weight=0),))] * 2
    with pytest.raises(ArgumentError) as caught:
        Oracle(twice, aggregation="mean", budget=0)
    assert [problem.split(",")[0] for problem in caught.value.problems] == [
        "weights must hold one above 0",
        "names of endpoints must differ",
        "aggregation must be 'product' or 'geometric_mean' or 'arithmetic_mean'",
        "budget must be an integer >= 1",
    ]
    with pytest.raises(ArgumentError, match="one component at least, got none"):
        Oracle([])


def _nan_for_rings(mols):
    return [np.nan if mol.GetRingInfo().NumRings() else 0.5 for mol in mols]
