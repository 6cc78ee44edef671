"""What a component does to some molecules costs these and no others, and is told."""

import logging

import numpy as np
import pytest

from polymode.chemistry.oracles import Component, Endpoint, Oracle, Unavailable, UserFunction
from polymode.chemistry.oracles.losses import Loss
from polymode.chemistry.oracles.processes import Processes, packed
from polymode.chemistry.oracles.schedule import PATIENCE
from tests.chemistry.oracles import bad

GOOD = ["C" * n for n in range(1, 9)]
SMILES = [*GOOD[:2], "BrC", *GOOD[2:5], "BrCCC", *GOOD[5:]]
LOST = [name for name in SMILES if "Br" in name]


def oracle_of(function, *, executor=None, **options):
    component = Component("f", function, **options)
    return Oracle([component], executor=executor and executor(packed([component])))


def two_processes(components):
    return Processes(components, n_processes=2, time_limit=0.4)


INLINE = ["raises", "exits", "gives_nan", "gives_infinity", "drops", "gives_text"]
KINDS = dict(
    zip(
        [*INLINE, "hangs", "dies"],
        [
            "raised",
            "raised",
            *["not_finite"] * 2,
            "wrong_length",
            "wrong_type",
            "timed_out",
            "died",
        ],
        strict=True,
    )
)


@pytest.mark.parametrize(
    ("name", "executor"),
    [
        *((name, None) for name in INLINE),
        *((name, two_processes) for name in ("raises", "hangs", "dies")),
    ],
)
def test_only_the_molecules_that_are_to_blame_are_lost(name, executor, caplog):
    # Each hang and each death costs a new process: with processes, less is cut in halves.
    oracle = oracle_of(getattr(bad, name), executor=executor, batch_size=2 if executor else 4)
    with caplog.at_level(logging.WARNING):
        scores = oracle(SMILES)
    oracle.close()
    lost = [smiles in LOST for smiles in SMILES]
    status = "timed_out" if name == "hangs" else "failed"
    assert scores.status == tuple(status if bad_one else "ok" for bad_one in lost)
    assert np.isnan(scores.rewards[lost]).all()
    kept = [len(smiles) / 100 for smiles in SMILES if smiles not in LOST]
    np.testing.assert_array_equal(scores.rewards[np.logical_not(lost)], kept)
    assert oracle.counts[f"f/{KINDS[name]}"] == len(LOST)
    assert oracle.n_calls == len(SMILES)
    assert len(oracle.messages) == len(LOST)
    assert f"({KINDS[name]})" in caplog.messages[0]


def test_messages_say_what_happened_to_which_molecule():
    oracle = oracle_of(bad.raises)
    oracle(["CBr"])
    assert oracle.messages == ["f raised ValueError: bromine is not for me for CBr (raised)"]


def test_later_losses_are_counted_only():
    oracle = oracle_of(bad.raises)
    oracle(["Br" + "C" * n for n in range(1, 9)])
    assert len(oracle.messages) == 3
    assert oracle.messages[2].endswith("(raised); more of this kind are only counted")
    assert oracle.counts["f/raised"] == 8


def test_a_loss_is_not_tried_again():
    oracle = oracle_of(bad.raises)
    oracle(["CBr"])
    again = oracle(["BrC"])
    assert again.status == ("failed",)
    assert oracle.counts["f/raised"] == 1
    assert oracle.n_calls == 1


class Hung:
    """An executor in which every task hangs; without the wait."""

    def __init__(self):
        self.n_tasks, self.out = 0, []

    @property
    def n_free(self):
        return not self.out

    def submit(self, task, mols):
        self.n_tasks += 1
        self.out.append((task, Loss("timed_out", "took too long")))

    def collect(self):
        out, self.out = self.out, []
        return out

    def close(self):
        pass


def test_a_component_that_always_hangs_is_given_up_on():
    executor = Hung()
    scores = Oracle([Component("f", bad.n_atoms)], executor=executor)(
        ["C" * n for n in range(1, 97)]
    )
    assert set(scores.status) == {"timed_out"}
    assert executor.n_tasks < 2 * PATIENCE + 10  # 189 if each molecule were tried


class Away:
    """Cannot be reached at first."""

    def __init__(self):
        self.there, self.n_called = False, 0

    def __call__(self, mols):
        self.n_called += 1
        if not self.there:
            raise Unavailable("connection\nrefused")
        return bad.n_atoms(mols)


def test_what_cannot_be_reached_costs_no_call_and_may_be_asked_again():
    function = Away()
    oracle = Oracle([Component("f", function)], budget=3)
    scores = oracle(["C", "CC", "C", "CCC"])
    assert scores.status == ("failed",) * 4
    assert not scores.new.any()
    assert oracle.n_calls == 0
    assert function.n_called == 1  # nobody is to blame: nothing was cut
    assert oracle.messages[0] == "f could not be reached: connection refused for C (unavailable)"
    function.there = True
    assert oracle(["C", "CC"]).status == ("ok", "ok")
    assert oracle.n_calls == 2


def test_what_has_no_weight_cannot_cost_a_reward():
    watched = Component("g", bad.raises, (Endpoint("g", weight=0),))
    oracle = Oracle([Component("f", bad.n_atoms), watched])
    scores = oracle(["CBr", "CC"])
    assert scores.status == ("ok", "ok")
    np.testing.assert_array_equal(scores.rewards, [0.02, 0.02])
    assert np.isnan(scores.raw["g"]).tolist() == [True, False]
    assert oracle.counts["g/raised"] == 1


def test_a_transform_that_fails_costs_what_it_fails_on():
    endpoint = Endpoint("f", transform=_picky, direction="minimise")
    oracle = Oracle([Component("f", bad.n_atoms, (endpoint,))])
    scores = oracle(["C", "CC", "CCC"])
    assert scores.status == ("ok", "failed", "ok")
    np.testing.assert_array_equal(scores.transformed["f"], [0.99, np.nan, 0.97])
    assert "transform or aggregation" in oracle.messages[0]


def _picky(values):
    if 0.02 in values:
        raise ValueError("not two")
    return values


@pytest.mark.parametrize("function", [bad.two_values, bad.two_columns])
def test_a_call_may_give_several_values(function):
    endpoints = (Endpoint("f.atoms"), Endpoint("f.bonds", weight=0))
    scores = Oracle([Component("f", function, endpoints)])(["CC", "CCC"])
    np.testing.assert_array_equal(scores.raw["f.atoms"], [0.02, 0.03])
    np.testing.assert_array_equal(scores.raw["f.bonds"], [0.01, 0.02])
    np.testing.assert_array_equal(scores.rewards, [0.02, 0.03])


@pytest.mark.parametrize(
    ("returned", "kind", "text"),
    [
        ({"a": [1.0]}, "wrong_type", "returned no b among its endpoints"),
        ({"a": [1.0], "b": [1.0, 2.0]}, "wrong_length", "returned shapes [(1,), (2,)] for 1"),
        ([[1.0]], "wrong_length", "returned shape (1, 1) for 1 molecules and 2 endpoints"),
        (None, "wrong_length", "returned shape () for 1 molecules and 2 endpoints"),
    ],
)
def test_tables_that_do_not_fit_are_told(returned, kind, text):
    component = Component("f", lambda mols: returned, (Endpoint("f.a"), Endpoint("f.b")))
    loss = component.measure(["C"])
    assert loss.kind == kind
    assert text in loss.text


def test_user_functions_take_molecules_or_smiles_and_parameters():
    function = UserFunction("tests.chemistry.oracles.bad:lengths", (("divisor", 10),), "smiles")
    assert oracle_of(function)(["OCC"]).rewards.tolist() == [0.3]


def test_a_class_is_made_once():
    before = bad.Model.n_made
    function = UserFunction("tests.chemistry.oracles.bad:Model", (("factor", 2.0),))
    oracle = oracle_of(function)
    assert [oracle([smiles]).rewards[0] for smiles in ("C", "CC")] == [0.02, 0.04]
    assert bad.Model.n_made == before + 1
