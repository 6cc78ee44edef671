"""Where objectives end on the toy: in closed form, and by gradient flow from the reference."""

import numpy as np
import pytest

from polymode.core import gradient_flow
from polymode.diagnostics.audit import EffectiveObjective
from polymode.diagnostics.audit.simulation import GOOD, LOG_Q, simulate
from polymode.errors import UnsupportedOptionError
from polymode.metrics import total_variation

REWARDS = GOOD.astype(float)
KINDS = {
    "sequence_k1": {
        **{"kl_placement": "reward", "kl_estimator": "k1", "kl_level": "sequence"},
        **{"kl_in_advantage": True, "baseline": "leave_one_out"},
    },
    "k2": {"kl_placement": "loss", "kl_estimator": "k2", "baseline": "leave_one_out"},
    "k3": {"kl_placement": "loss", "kl_estimator": "k3", "baseline": "leave_one_out"},
}


def objective(kind="k2", **facts):
    named = {"framework": "trl", "version": "0", "trainer": "any"}
    return EffectiveObjective(
        **named, **{"beta": 0.2, "reference": "fixed", **KINDS[kind], **facts}
    )


# Numbers of an independent script: total variation to the target, entropy over the good outputs.
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
    ending = simulate(objective(kind), anchored=anchored)
    distance, spread = KNOWN[kind, anchored]
    assert ending.distance == pytest.approx(distance, abs=6e-4)
    assert np.log(ending.effective_good) == pytest.approx(spread, abs=6e-4)
    assert ending.beta_eff == 0.2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group_size", [4, 16])
def test_the_ending_is_where_gradient_flow_with_that_scale_ends(kind, group_size):
    """The flow knows no closed form: rewards are scaled at each step by the gap at its policy."""
    beta = 1.0
    facts = {"baseline": "group_mean", "scale": "group_std", "group_size": group_size}
    scaled = objective(kind, **facts, beta=beta, kl_in_advantage=False)

    def rewards(log_p):
        return REWARDS * scaled.reward_gap(float(np.exp(log_p)[GOOD].sum()))

    flow = gradient_flow(rewards, LOG_Q, beta=beta, kl=kind, n_tokens=2, n_steps=1500, step=0.1)
    ending = simulate(scaled)
    assert total_variation(ending.ended.reshape(-1), flow.reshape(-1)) < 1e-6
    assert ending.beta_eff < beta
    assert ending.distance > simulate(objective(kind, beta=beta)).distance


def test_without_a_regulariser_only_good_outputs_are_left():
    for facts in ({"beta": 0.0}, {"kl_estimator": "k1"}):
        ending = simulate(objective("k2", **facts))
        assert ending.success_rate > 1 - 1e-9
        assert ending.beta_eff == 0.0


def test_a_small_beta_is_solved_as_well():
    ending = simulate(objective("sequence_k1", beta=1e-3))
    assert ending.distance < 1e-9
    # The reference restricted to good outputs: .22 of .632 for the likeliest.
    assert np.exp(ending.ended).max() == pytest.approx(0.22 / np.exp(LOG_Q)[GOOD].sum())


def test_a_moving_reference_ends_with_good_outputs_alone():
    fixed = simulate(objective("sequence_k1", beta=1.0))
    moving = simulate(objective("sequence_k1", beta=1.0, reference="moving", reference_mix=0.6))
    assert fixed.success_rate < 0.9
    assert moving.success_rate > 1 - 1e-6
    assert moving.distance > 0.1


def test_what_the_toy_does_not_show_is_named():
    facts = {"aggregation": "per_sequence", "n_updates": 4, "clip_high": 0.2, "entropy_coef": 0.1}
    left_out = simulate(objective(**facts)).left_out
    assert [text.split()[-1] for text in left_out] == ["long)", "clip", "bonus"]
    assert simulate(objective()).left_out == ()


def test_what_has_no_closed_form_is_refused():
    with pytest.raises(UnsupportedOptionError, match="gradient of no divergence"):
        simulate(objective(kl_placement="reward"))
    with pytest.raises(UnsupportedOptionError, match="beta > 0"):
        simulate(objective(beta=0.0), anchored=True)
    with pytest.raises(UnsupportedOptionError, match="deviation of anchored rewards"):
        simulate(objective(scale="group_std", group_size=8), anchored=True)
    with pytest.raises(UnsupportedOptionError, match="group size"):
        simulate(objective(scale="group_std"))
