"""Where objectives end on the toy: beside closed forms, and beside numbers of an own script."""

from dataclasses import replace

import numpy as np
import pytest

from polymode.core import augment, gradient_flow, optimal_policy
from polymode.diagnostics.audit import EffectiveObjective
from polymode.diagnostics.audit.simulation import STEP, TOY, Toy, simulate
from polymode.diagnostics.audit.simulation.toy import log_softmax
from polymode.errors import UnsupportedOptionError
from polymode.metrics import total_variation

SEQUENCE = {
    **{"kl_placement": "reward", "kl_estimator": "k1", "kl_level": "sequence"},
    **{"kl_in_advantage": True, "baseline": "leave_one_out"},
}
KINDS = {
    "sequence_k1": SEQUENCE,
    "k2": {"kl_placement": "loss", "kl_estimator": "k2", "baseline": "leave_one_out"},
    "k3": {"kl_placement": "loss", "kl_estimator": "k3", "baseline": "leave_one_out"},
}
STD = {"baseline": "group_mean", "scale": "group_std", "group_size": 8}
CLIP = {"n_updates": 4.0, "clip_low": 0.2, "clip_high": 0.2, "group_size": 8}


def objective(kind="k2", **facts):
    named = {"framework": "trl", "version": "0", "trainer": "any"}
    return EffectiveObjective(
        **named, **{"beta": 0.2, "reference": "fixed", **KINDS[kind], **facts}
    )


def square():
    """Four times four outputs of two tokens."""
    first = np.array([0.55, 0.30, 0.10, 0.05])
    second = [[0.4, 0.3, 0.2, 0.1], [0.7, 0.1, 0.1, 0.1], [0.25] * 4, [0.05, 0.05, 0.05, 0.85]]
    good = [[1, 1, 1, 1], [0, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]]
    return Toy(
        np.log([first, *second]),
        np.array([[[0, i], [1 + i, j]] for i in range(4) for j in range(4)]),
        np.array(good, dtype=float).reshape(-1),
        np.full(16, 2.0),
        tuple(f"{i}{j}" for i in range(4) for j in range(4)),
    )


SQUARE = square()
# Numbers of an independent script on the square: total variation to the target, entropy over the
# good outputs.
KNOWN = {
    ("sequence_k1", False): (0.000, 1.656),
    ("k2", False): (0.255, 1.852),
    ("k3", False): (0.163, 1.805),
    ("sequence_k1", True): (0.000, 2.079),
    ("k2", True): (0.524, 1.417),
    ("k3", True): (0.532, 1.337),
}


@pytest.mark.parametrize(("kind", "anchored"), KNOWN)
def test_known_endings(kind, anchored):
    ending = simulate(objective(kind), anchored=anchored, toy=SQUARE)
    distance, spread = KNOWN[kind, anchored]
    assert ending.state == "rests"
    assert ending.distance == pytest.approx(distance, abs=6e-4)
    assert np.log(ending.effective_good) == pytest.approx(spread, abs=6e-4)
    assert ending.beta_eff == 0.2


def stationary(rewards, beta, divergence):
    """Where a KL of tokens ends, in closed form: tokens from the last to the first.

    What follows a prefix does not depend on how it was reached.
    """
    second = np.array(
        [
            optimal_policy(
                rewards[4 * i : 4 * i + 4], TOY.log_q[i + 1], beta=beta, divergence=divergence
            )
            for i in range(3)
        ]
    )
    values = [*(np.exp(second) * rewards[:12].reshape(3, 4)).sum(1), rewards[12]]
    first = optimal_policy(np.array(values), TOY.log_q[0], beta=beta, divergence=divergence)
    return np.append((first[:3, None] + second).reshape(-1), first[3])


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("beta", [0.02, 0.2, 1.0])
@pytest.mark.parametrize(
    ("facts", "divergence"),
    [
        ({"kl_estimator": "k2"}, "reverse_kl"),
        ({"kl_estimator": "k3", "kl_ratio": "token"}, "reverse_kl"),
        ({"kl_estimator": "k1", "kl_ratio": "token"}, "reverse_kl"),
        ({"kl_estimator": "k3_plus"}, "reverse_kl"),
        ({"kl_estimator": "k3"}, "forward_kl"),
        ({"kl_placement": "reward", "kl_level": "token", "kl_estimator": "k1"}, "reverse_kl"),
    ],
)
def test_a_kl_of_tokens_ends_at_its_closed_form(facts, divergence, beta, anchored):
    rewards = TOY.rewards
    if anchored:
        rewards = augment(rewards, TOY.log_q_outputs, beta=beta, threshold=1.0).rewards
    ending = simulate(objective(**facts, beta=beta), anchored=anchored)
    assert ending.state == "rests"
    assert total_variation(ending.ended, stationary(rewards, beta, divergence)) < 2e-4


@pytest.mark.parametrize("beta", [1e-3, 0.2, 1.0])
@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"baseline": "group_mean", "group_size": 4},
        {"baseline": "length_mean", "group_size": 4},
        {"baseline": "token_mean", "group_size": 4},
        {"baseline": "value"},
        {"baseline": "batch_mean", "scale": "batch_std"},
        STD,
        {"aggregation": "per_sequence"},
        {"aggregation": "times_length"},
        CLIP | {"group_size": 4},
    ],
)
def test_k1_of_whole_outputs_in_the_reward_ends_at_the_target(facts, beta):
    """Whatever baseline, scale, weights of tokens, and clip bend on the way."""
    if "n_updates" in facts and beta < 0.1:
        pytest.skip("steps have a length there, of which it takes too many")
    plain, anchored = (
        simulate(objective("sequence_k1", beta=beta, **facts), anchored=how)
        for how in (False, True)
    )
    for ending in (plain, anchored):
        assert ending.state == "rests"
        assert ending.distance < 2e-3
    assert anchored.effective_good == pytest.approx(8.0, rel=1e-2)


@pytest.mark.parametrize("kind", ["k2", "k3"])
@pytest.mark.parametrize("group_size", [4, 16])
def test_where_rewards_are_scaled_by_their_group(kind, group_size):
    """The flow knows no group: rewards are scaled at each step by the gap at its policy."""
    beta = 1.0
    scaled = objective(kind, **STD | {"group_size": group_size}, beta=beta)
    good = SQUARE.good.reshape(4, 4)

    def rewards(log_p):
        return good * scaled.reward_gap(float(np.exp(log_p)[good].sum()))

    log_q = SQUARE.log_q_outputs.reshape(4, 4)
    flow = gradient_flow(rewards, log_q, beta=beta, kl=kind, n_tokens=2, n_steps=1500, step=0.1)
    ending = simulate(scaled, toy=SQUARE)
    assert total_variation(ending.ended, flow.reshape(-1)) < 5e-5
    assert ending.beta_eff < beta
    assert ending.distance > simulate(objective(kind, beta=beta), toy=SQUARE).distance


def test_without_a_regulariser_only_good_outputs_are_left():
    for facts in ({"beta": 0.0}, {"kl_estimator": "k1"}):
        ending = simulate(objective("k2", **facts))
        assert ending.success_rate > 1 - 1e-6
        assert ending.beta_eff == 0.0


def test_the_way_starts_at_the_reference_and_ends_at_the_end():
    ending = simulate(objective("sequence_k1"))
    way = ending.way
    rate = np.exp(TOY.log_q_outputs)[TOY.good].sum()
    assert (way.updates[0], way.success_rate[0]) == (0.0, pytest.approx(rate))
    assert np.all(np.diff(way.updates) > 0)
    assert np.all(np.diff(way.success_rate) > -1e-12)
    assert way.distance[-1] == pytest.approx(float(total_variation(ending.believed, ending.ended)))
    # One nat for a unit of advantage and beta is one e-fold: so many updates of that length.
    late = np.searchsorted(way.updates, [100, 200])
    fall = np.log(way.distance[late[0]] / way.distance[late[1]])
    span = np.diff(way.updates[late])[0] * STEP * 0.2
    assert fall == pytest.approx(span, rel=0.15)


@pytest.mark.parametrize("every", [1, 512])
def test_a_moving_reference_ends_with_good_outputs_alone(every):
    fixed = simulate(objective("sequence_k1", beta=1.0))
    facts = {"reference": "moving", "reference_mix": 0.6, "reference_every": every}
    moving = simulate(objective("sequence_k1", beta=1.0, **facts))
    assert fixed.success_rate < 0.9
    assert moving.success_rate > 1 - 1e-4
    if every == 512:
        # Three quarters of a period after each renewal it rests: each adds r/beta to log t.
        assert moving.way.updates[-1] > 3 * 512


@pytest.mark.parametrize("kind", ["sequence_k1", "k2"])
def test_the_clip_moves_the_end_only_of_a_kl_in_the_loss(kind):
    facts = {"beta": 0.5, "n_updates": 4.0, "clip_low": 0.02, "clip_high": 0.02, "group_size": 4}
    several = objective(kind, **facts)
    ending, plain = simulate(several, step=0.5), simulate(replace(several, n_updates=1.0))
    (note,) = [note for note in ending.notes if "the clip" in note]
    assert note.startswith("with 4 updates of 0.5 nats for each batch")
    assert float(note.split("acts on ")[1].split("%")[0]) > 1
    if kind == "sequence_k1":
        assert ending.distance < 2e-3
        return
    assert total_variation(ending.ended, plain.ended) > 0.03
    assert ending.success_rate < plain.success_rate - 0.02
    short = simulate(several, step=0.005)
    assert total_variation(short.ended, plain.ended) < 5e-3  # no ratio reaches the clip


@pytest.mark.parametrize("weights", ["per_sequence", "times_length"])
@pytest.mark.parametrize("kind", ["sequence_k1", "k2"])
def test_unequal_weights_move_the_end_only_where_it_is_said(kind, weights):
    tilted = objective(kind, aggregation=weights, kl_aggregation=weights)
    moved = total_variation(simulate(tilted).ended, simulate(objective(kind)).ended)
    assert moved > 0.01 if tilted.tilts else moved < 1e-4
    assert tilted.tilts == (kind != "sequence_k1")


@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_one_temperature_for_all_has_the_target_of_the_tempered_reference(temperature):
    ending = simulate(objective("sequence_k1", temperature=temperature))
    tempered = log_softmax(TOY.log_q / temperature)
    target = optimal_policy(TOY.rewards, TOY.of_tokens(tempered).sum(1), beta=0.2)
    by_prefix = np.full_like(TOY.log_q, -np.inf)
    for path, log_t in zip(TOY.places, target, strict=True):
        for row, column in path[path[:, 0] >= 0]:
            by_prefix[row, column] = np.logaddexp(by_prefix[row, column], log_t)
    untempered = log_softmax(temperature * log_softmax(by_prefix))
    assert total_variation(ending.ended, TOY.of_tokens(untempered).sum(1)) < 1e-4
    assert ending.distance > 0.01


def test_two_temperatures_end_elsewhere():
    both = simulate(objective(temperature=0.7))
    ending = simulate(objective(temperature=0.7, scored_at=1.0))
    assert total_variation(ending.ended, both.ended) > 0.01


def test_what_is_cut_off_stays_behind():
    """Unlikely good outputs are never drawn, so they end below what the whole sampler gives."""
    ending = simulate(objective("sequence_k1", truncated_sampling={"top_k": 2.0}))
    whole = simulate(objective("sequence_k1"))
    rare = TOY.labels.index("d")  # one of the two least likely first tokens
    assert np.exp(ending.ended)[rare] < 0.75 * np.exp(whole.ended)[rare]
    assert ending.distance > 0.05


def test_a_policy_that_goes_round_is_averaged():
    ending = simulate(objective(truncated_sampling={"top_p": 0.8}))
    assert ending.state == "circles"
    assert np.exp(ending.ended).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("c", [0.1, 0.5])
def test_an_entropy_bonus_is_a_second_reference(c):
    """Of one token: the formula of PM503."""
    one = Toy(
        np.log([[0.5, 0.3, 0.2]]),
        np.array([[[0, i]] for i in range(3)]),
        np.array([1.0, 0.0, 1.0]),
        np.ones(3),
        ("a", "b", "c"),
    )
    ending = simulate(objective(entropy_coef=c), toy=one)
    logits = (0.2 * one.log_q_outputs + one.rewards) / (0.2 + c)
    assert total_variation(ending.ended, logits - np.logaddexp.reduce(logits)) < 1e-4


def test_clipped_rewards_spoil_the_anchored_target_alone():
    clipped = objective("sequence_k1", reward_clip=(-1.0, 1.0))
    assert simulate(clipped).distance < 1e-4
    assert simulate(clipped, anchored=True).distance > 0.1


@pytest.mark.parametrize(
    "facts",
    [
        *(SEQUENCE | {"kl_estimator": kind} for kind in ("k2", "k3", "abs")),
        {"kl_estimator": "k2", "kl_ratio": "token"},
        {"kl_estimator": "k3", "kl_ratio": "sequence"},
        {"kl_estimator": "abs"},
        {"kl_clip": 0.5},
        STD | {"drops": ("zero_variance",)},
        STD | {"reward_transformations": ("lead_of_best",), "baseline": "none"},
        STD | {"reward_transformations": ("each_standardised",), "scale": "batch_std"},
        {"reward_weight": 0.2},
    ],
)
def test_what_has_no_closed_form_is_run(facts):
    ending = simulate(objective(**facts))
    assert ending.state == "rests"
    assert ending.distance > 0.01


def test_where_a_kl_weighs_sequences_it_lies_between_both_directions():
    ratio, reverse, forward = (
        simulate(objective(**facts)).success_rate
        for facts in (
            {"kl_estimator": "k3", "kl_ratio": "sequence"},
            {"kl_estimator": "k3", "kl_ratio": "token"},
            {"kl_estimator": "k3"},
        )
    )
    assert forward < ratio < reverse


def test_what_takes_too_long_is_said(monkeypatch):
    monkeypatch.setattr("polymode.diagnostics.audit.simulation.run._MOST_STEPS", 400)
    ending = simulate(objective(**STD | CLIP, beta=1e-3), step=0.01)
    assert ending.state == "moves"
    assert ending.way.updates[-1] == pytest.approx(400)


def test_what_the_toy_does_not_show_is_named():
    facts = {
        **{"beta_adaptive": True, "weight_decay": 0.1, "drops": ("truncated",)},
        **{"truncated_sampling": {"top_k": 50.0, "repetition_penalty": 1.1}, "group_size": 8},
        **{"baseline": "value", "extra_terms": ("router_aux_loss",), "asynchronous": True},
        "ratio_weight": "sapo",
    }
    assert simulate(objective(**facts)).left_out == (
        "a controller moves beta",
        "values are learned, and the toy has the true ones",
        "samples may be stale",
        "weights of the ratio (sapo)",
        "weight decay",
        "top_k = 50 (the toy has 4 tokens)",
        "repetition_penalty = 1.1",
        "drops by truncated",
        "router aux loss",
    )
    assert simulate(objective("sequence_k1", **CLIP)).left_out == ()
    assert simulate(objective(ratio_weight="sapo")).left_out == ()  # on-policy every ratio is 1
    assert simulate(objective()).left_out == simulate(objective()).notes == ()
    (note,) = simulate(objective(**STD | {"group_size": 64}), anchored=True).notes
    assert note.startswith("groups of 7, the largest")


def test_what_an_update_is_must_be_known():
    with pytest.raises(UnsupportedOptionError, match="depends on the batch"):
        simulate(objective(reward_weight=float("nan")))
    with pytest.raises(UnsupportedOptionError, match="beta > 0"):
        simulate(objective(beta=0.0), anchored=True)
    for size in (None, 1):
        with pytest.raises(UnsupportedOptionError, match="group size must be known"):
            simulate(objective(**STD | {"group_size": size}))
