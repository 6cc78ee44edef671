"""Replay, augmentation, filters, checkpoints and alerts: the memories of a run."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from polymode.chemistry import Vocabulary
from polymode.chemistry.learner.alerts import CollapseAlert
from polymode.chemistry.learner.augmentation import randomised_smiles
from polymode.chemistry.learner.checkpoint import (
    checkpoint_steps,
    last_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from polymode.chemistry.learner.filters import DiversityFilter
from polymode.chemistry.learner.replay import Replay
from polymode.chemistry.learner.rows import Rows
from polymode.metrics.molecules import canonical_smiles, murcko_scaffold
from tests.chemistry.learner.tiny import small_molecules, untrained


def rows_of(names, rewards, modes=None):
    rewards = np.asarray(rewards, dtype=float)
    return Rows(
        smiles=[f"{name}!" for name in names],
        canonical=names,
        rewards=rewards,
        good=rewards >= 0.5,
        ref_log_probs=-rewards,
        log_probs=-2 * rewards,
        n_tokens=np.arange(len(names)),
        modes=modes,
    )


def test_top_keeps_the_best_of_each_molecule_once():
    replay = Replay("top", size=2)
    replay.add(rows_of(["a", "b", "a", None, "z"], [0.2, 0.9, 0.8, 0.9, 0.0]), np.arange(5.0))
    replay.add(rows_of(["c"], [0.5]), np.array([7.0]))
    kept = replay.everything()
    assert kept is not None
    assert list(zip(kept.canonical, kept.rewards, kept.shaped, strict=True)) == [
        ("b", 0.9, 1.0),
        ("c", 0.5, 7.0),
    ]
    assert kept.smiles == ["b!", "c!"]


def test_top_draws_in_proportion_to_reward_if_asked():
    drawn = {}
    for weights in ("uniform", "reward"):
        replay = Replay("top", weights=weights)
        replay.add(rows_of(["a", "b"], [0.9, 0.1]), np.zeros(2))
        rng = np.random.default_rng(0)
        picks = [replay.draw(1, rng).canonical[0] for _ in range(1000)]
        drawn[weights] = picks.count("a")
    # 5 standard deviations of a binomial: 5 * sqrt(1000 / 4) = 79 and 5 * sqrt(90) = 47
    assert abs(drawn["uniform"] - 500) < 79
    assert abs(drawn["reward"] - 900) < 47


def test_modes_are_drawn_evenly_and_no_molecule_twice():
    replay = Replay("modes")
    names = [f"m{i}" for i in range(12)]
    modes = ["big"] * 10 + ["small", "tiny"]
    replay.add(rows_of(names, np.ones(12), modes), np.zeros(12))
    rng = np.random.default_rng(1)
    drawn = replay.draw(3, rng)
    assert drawn is not None
    assert sorted(drawn.modes) == ["big", "small", "tiny"]
    more = replay.draw(7, rng)
    assert more is not None
    assert sorted(more.modes) == ["big"] * 5 + ["small", "tiny"]
    assert len(set(more.canonical)) == 7
    everything = replay.draw(100, rng)
    assert everything is not None
    assert sorted(everything.canonical) == sorted(names)


def test_modes_keep_the_newest_of_a_full_mode():
    replay = Replay("modes", per_mode=2)
    replay.add(rows_of(["a", "c", "d"], [1, 1, 1], ["m"] * 3), np.zeros(3))
    kept = replay.everything()
    assert kept is not None
    assert kept.canonical == ["c", "d"]


def test_the_best_others_stand_in_for_hits_that_are_few():
    replay = Replay("modes", size=2)
    names = ["low", "near", "nearer", "hit", "other", "zero"]
    replay.add(
        rows_of(names, [0.1, 0.3, 0.4, 1, 1, 0], ["x", "y", "y", "m", "n", "z"]), np.zeros(6)
    )
    rng = np.random.default_rng(0)
    for n, expected in {
        2: ["hit", "other"],
        3: ["hit", "other", "near*"],
        9: ["hit", "other", "near", "nearer"],
    }.items():
        drawn = replay.draw(n, rng)
        assert drawn is not None
        found = [
            "near*" if n == 3 and name.startswith("near") else name for name in drawn.canonical
        ]
        assert sorted(found) == sorted(expected)


def test_replay_forgets_and_goes_on_from_its_state():
    replay = Replay("modes")
    assert replay.draw(3, np.random.default_rng(0)) is None
    assert replay.everything() is None
    replay.add(rows_of(["a", "b", "c"], [1, 1, 1], ["m", 3, "m"]), np.arange(3.0))
    assert replay.purge(lambda name: name == "a") == 1
    other = Replay("modes")
    other.load_state(replay.state())
    rngs = np.random.default_rng(2), np.random.default_rng(2)
    first, second = (each.draw(2, rng) for each, rng in zip((replay, other), rngs, strict=True))
    assert first.modes == second.modes
    assert first.canonical == second.canonical
    assert sorted(first.canonical) == ["b", "c"]
    assert replay.draw(0, rngs[0]) is None


def test_random_smiles_are_other_strings_of_the_same_molecules():
    smiles = ["CCc1ccncc1C(=O)O", "not a molecule", "CCOC1CCNC1"]
    vocabulary = Vocabulary.from_smiles([*smiles[::2], "n1o[nH]2-("])
    rng = np.random.default_rng(0)
    rounds = [randomised_smiles(smiles, vocabulary=vocabulary, rng=rng) for _ in range(8)]
    for i in (0, 2):
        written = {each[i] for each in rounds}
        assert len(written) > 3
        assert {canonical_smiles(one) for one in written} == {canonical_smiles(smiles[i])}
    assert {each[1] for each in rounds} == {"not a molecule"}
    again = randomised_smiles(smiles, vocabulary=vocabulary, rng=np.random.default_rng(0))
    assert again == rounds[0]


def test_random_smiles_keep_to_the_vocabulary():
    # Every other string of toluene opens a branch or a ring in a way that needs a parenthesis.
    vocabulary = Vocabulary(("$", "^", "C", "c", "1"))
    rng = np.random.default_rng(0)
    for _ in range(20):
        (written,) = randomised_smiles(["Cc1ccccc1"], vocabulary=vocabulary, rng=rng)
        assert vocabulary.n_unknown(written) == 0


BENZENES = ["Cc1ccccc1", "Oc1ccccc1", "Nc1ccccc1"]


def test_bucket_of_a_scaffold_fills_up():
    diversity = DiversityFilter("murcko", bucket_size=2, min_score=0.4)
    found = diversity(np.array([0.3, 0.9, 0.9, 0.8, 0.9]), ["CCO", *BENZENES, "Cc1ccncc1"])
    # Low rewards are left alone, the third benzene is too many, pyridine is another scaffold.
    assert found.rewards.tolist() == [0.3, 0.9, 0.9, 0.0, 0.9]
    assert found.penalised == {"c1ccccc1"}
    # A hit that was seen is worth nothing; what was too low to be counted was not seen.
    again = diversity(np.array([0.9, 0.3, math.nan]), ["Cc1ccccc1", "CCO", None])
    np.testing.assert_array_equal(again.rewards, [0.0, 0.3, math.nan])


def test_topological_filter_does_not_tell_atoms_apart():
    names = ["Cc1ccccc1", "Cc1ccncc1"]
    for kind, last in {"murcko": 0.9, "topological": 0.0}.items():
        found = DiversityFilter(kind, bucket_size=1)(np.array([0.9, 0.9]), names)
        assert found.rewards.tolist() == [0.9, last]


def test_similar_scaffolds_share_a_bucket():
    from rdkit.DataStructs import DiceSimilarity

    from polymode.chemistry.learner.filters import _atom_pairs

    first, second = "c1ccc(CCc2ccccc2)cc1", "c1ccc(CCc2ccncc2)cc1"
    similar = DiceSimilarity(_atom_pairs(first), _atom_pairs(second))
    assert 0.4 < similar < 0.95
    for bound, last in {similar - 0.01: 0.0, similar + 0.01: 0.9}.items():
        diversity = DiversityFilter("similarity", bucket_size=1, min_similarity=bound)
        assert diversity(np.array([0.9, 0.9]), [first, second]).rewards.tolist() == [0.9, last]


def of_reinvent(rewards, names, *, bucket_size, min_score, min_similarity, memory):
    """ScaffoldSimilarity of REINVENT 4, restated from its source, row after row."""
    from rdkit.DataStructs import DiceSimilarity

    from polymode.chemistry.learner.filters import _atom_pairs

    seen, buckets, scaffolds = memory
    filtered = []
    for reward, name in zip(rewards, names, strict=True):
        scaffold = murcko_scaffold(name)
        if scaffold:
            similar = [
                DiceSimilarity(_atom_pairs(scaffold), _atom_pairs(each)) for each in scaffolds
            ]
            if similar and max(similar) >= min_similarity:
                scaffold = list(scaffolds)[similar.index(max(similar))]
            scaffolds[scaffold] = None
        value = 0.0 if name in seen else reward
        if value >= min_score:
            seen.add(name)
            buckets[scaffold] += 1
            value = value if buckets[scaffold] <= bucket_size else 0.0
        filtered.append(value)
    return filtered


def test_similarity_filter_is_that_of_reinvent_whatever_comes():
    rng, names = np.random.default_rng(0), sorted(set(map(canonical_smiles, small_molecules())))
    score = dict(zip(names, rng.random(len(names)), strict=True))
    settings = {"bucket_size": 3, "min_score": 0.4, "min_similarity": 0.3}
    diversity, memory = DiversityFilter("similarity", **settings), (set(), Counter(), {})
    for _ in range(6):
        drawn = rng.choice(names, 40).tolist()
        rewards = np.array([score[name] for name in drawn])
        wanted = of_reinvent(rewards, drawn, **settings, memory=memory)
        assert diversity(rewards, drawn).rewards.tolist() == wanted
    assert len(memory[2]) < len({murcko_scaffold(name) for name in memory[0]})


def test_a_scaffold_of_a_low_reward_founds_a_bucket():
    # Dice similarities: .86 of the first to each other one, .73 between these.
    low, first, second = "c1ccc(CCc2ccncc2)cc1", "c1ccc(CCc2ccccc2)cc1", "c1cc(CCc2ccncc2)ccn1"
    for start, last in ((low, 0.0), ("CCO", 0.9)):
        diversity = DiversityFilter("similarity", bucket_size=1, min_similarity=0.8)
        found = diversity(np.array([0.1, 0.9, 0.9]), [start, first, second])
        assert found.rewards.tolist() == [0.1, 0.9, last]


def test_same_smiles_and_occurrence():
    name = ["CCO"]
    same = DiversityFilter("same_smiles", penalty=0.5)
    assert [same(np.array([0.2]), name).rewards[0] for _ in range(3)] == [0.2, 0.1, 0.1]
    occurrence = DiversityFilter("occurrence", min_score=0.4, tolerance=2, fade=4)
    # (2 + 4 - n) / 4 for n = 1 … 6, at most 1
    got = [occurrence(np.array([1.0]), name).rewards[0] for _ in range(6)]
    assert got == [1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    assert occurrence(np.array([0.3]), name).rewards[0] == 0.3


@pytest.mark.parametrize("kind", ["none", "murcko", "topological", "similarity", "occurrence"])
def test_filters_go_on_from_their_state(kind):
    first, second = (DiversityFilter(kind, bucket_size=1, tolerance=1) for _ in range(2))
    first(np.array([0.9, 0.9]), BENZENES[:2])
    second.load_state(first.state())
    names = [BENZENES[0], BENZENES[2], "Cc1ccncc1"]
    got = [each(np.full(3, 0.9), names).rewards.tolist() for each in (first, second)]
    assert got[0] == got[1]
    assert (got[0] == [0.9] * 3) is (kind == "none")


def test_checkpoint_gives_back_what_it_got(tmp_path):
    state = {
        "array": np.arange(6, dtype=np.int64).reshape(2, 3),
        "scalar": np.array(2.5),
        "tensor": torch.tensor([1.0, -0.0, math.inf]),
        "bits": torch.arange(3, dtype=torch.uint8),
        "deep": {"list": [1, "two", None, np.float32(0.5), [True, np.zeros(0)]]},
        "large": 2**100,
        "nan": math.nan,
    }
    model = untrained()
    for step in (5, 10, 15):
        write_checkpoint(tmp_path, step, model, state, keep=2)
    (tmp_path / ".step_000020.part").mkdir()  # what a killed run leaves
    assert checkpoint_steps(tmp_path) == [10, 15]
    assert last_checkpoint(tmp_path / "none") is None
    read, got = read_checkpoint(last_checkpoint(tmp_path))
    assert got["array"].dtype == np.int64
    np.testing.assert_array_equal(got["array"], state["array"])
    assert got["scalar"].shape == ()
    assert torch.equal(got["tensor"], state["tensor"])
    assert torch.signbit(got["tensor"]).tolist() == [False, True, False]
    assert torch.equal(got["bits"], state["bits"])
    assert got["deep"]["list"][:4] == [1, "two", None, 0.5]
    assert got["deep"]["list"][4][1].shape == (0,)
    assert (got["large"], math.isnan(got["nan"])) == (2**100, True)
    for name, weights in model.state_dict().items():
        assert torch.equal(weights, read.state_dict()[name])


def test_alert_waits_until_signs_have_lasted():
    alert = CollapseAlert(window=3, repeats=0.8, effective_scaffolds=4.0)
    repeats = [0.9, 0.9, 0.5, 0.9, 0.9, 0.9]
    said = [alert.watch(frac_repeats=one, effective_scaffolds=50.0) for one in repeats]
    assert said == [None] * 5 + ["frac_repeats was 0.9 on average of the last 3 steps"]
    other = CollapseAlert(window=3, repeats=0.8, effective_scaffolds=4.0)
    other.load_state(alert.state())
    assert other.watch(frac_repeats=0.9, effective_scaffolds=1.0) is not None
    for _ in range(2):
        both = other.watch(frac_repeats=0.9, effective_scaffolds=1.0)
    assert both is not None
    assert "effective_scaffolds was 1 " in both
    assert other.watch(frac_repeats=math.nan, effective_scaffolds=math.nan) is None
