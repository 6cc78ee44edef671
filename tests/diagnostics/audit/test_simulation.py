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
    assert [text.split()[0] for text in left_out] == ["lengths", "the", "the"]
    assert "the KL weighs more" in left_out[1]
    assert simulate(objective("sequence_k1", n_updates=4, clip_high=0.2)).left_out == ()
    assert simulate(objective()).left_out == ()


@pytest.mark.parametrize("kind", ["sequence_k1", "k2"])
def test_the_clip_moves_the_end_only_of_a_kl_in_the_loss(kind):
    """Four updates for each batch, exactly: every output of the toy, weighed by the old policy.

    The steps are larger than the clip: it stops the reward, and not the KL beside it.
    """
    torch = pytest.importorskip("torch")
    beta, clip, log_q = 0.5, 0.02, torch.tensor(LOG_Q)
    ref = [log_q.logsumexp(1), log_q - log_q.logsumexp(1, keepdim=True)]
    logits = [part.clone().requires_grad_() for part in ref]
    rewards, n_clipped = torch.tensor(REWARDS), 0

    def tokens():
        return logits[0].log_softmax(0)[:, None].expand(4, 4), logits[1].log_softmax(1)

    for _ in range(1500):
        old = [part.detach() for part in tokens()]
        weight = sum(old).exp()
        returns = rewards
        if kind == "sequence_k1":
            returns = rewards - beta * (sum(old) - log_q)
        advantage = returns - (weight * returns).sum()
        for _ in range(4):
            gain = torch.zeros((), dtype=torch.float64)
            for now, before, reference in zip(tokens(), old, ref, strict=True):
                ratio = (now - before).exp()
                bounded = ratio.clamp(1 - clip, 1 + clip)
                kept = torch.minimum(ratio * advantage, bounded * advantage)
                n_clipped += int((kept < ratio * advantage).sum())
                base = reference[:, None] if reference.dim() == 1 else reference
                pull = beta * (now - base) ** 2 / 2 if kind == "k2" else 0.0
                gain = gain + (weight * (kept - pull)).sum()
            steps = torch.autograd.grad(gain, logits)
            with torch.no_grad():
                for part, step in zip(logits, steps, strict=True):
                    part += 0.5 * step
    assert n_clipped > 0
    found = sum(tokens()).detach().numpy()
    ending = simulate(objective(kind, beta=beta, n_updates=4.0, clip_low=clip, clip_high=clip))
    distance = total_variation(ending.ended.reshape(-1), found.reshape(-1))
    if kind == "sequence_k1":
        assert distance < 1e-3
        assert ending.left_out == ()
    else:
        assert distance > 0.05
        assert np.exp(found)[GOOD].sum() < ending.success_rate - 0.02
        assert "the KL weighs more" in ending.left_out[0]


@pytest.mark.parametrize("kind", ["sequence_k1", "k2"])
@pytest.mark.parametrize("weights", ["per_sequence", "times_length"])
def test_unequal_weights_move_the_target_only_where_it_is_said(kind, weights):
    """One short output and three long ones: the exact gradient at the target of equal weights."""
    torch = pytest.importorskip("torch")
    beta = 0.5
    lengths = torch.tensor([1.0, 2.0, 2.0, 2.0], dtype=torch.float64)
    rewards = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    start = [torch.tensor(x, dtype=torch.float64).log() for x in ([0.3, 0.7], [0.2, 0.3, 0.5])]

    def tokens(logits):
        """log p of the first and of the second token of each output; 0 where there is none."""
        first, second = (part.log_softmax(0) for part in logits)
        zero = torch.zeros(1, dtype=torch.float64)
        return torch.stack([first[[0, 1, 1, 1]], torch.cat([zero, second])])

    log_q = tokens(start)

    def gradient(logits, power):
        """Of the expected update, with tokens that weigh |y| to some power."""
        log_p = tokens(logits)
        p, d = log_p.sum(0).exp().detach(), (log_p - log_q).detach()
        returns = rewards - beta * d.sum(0) if kind == "sequence_k1" else rewards
        pull = {"sequence_k1": 0.0 * d, "k2": d}[kind]
        score = (returns - (p * returns).sum()) - beta * pull
        return torch.autograd.grad((p * lengths**power * score * log_p).sum(), logits)

    logits = [part.clone().requires_grad_() for part in start]
    for _ in range(3000):
        steps = gradient(logits, 0.0)
        with torch.no_grad():
            for part, step in zip(logits, steps, strict=True):
                part += step
    assert max(step.abs().max() for step in gradient(logits, 0.0)) < 1e-8
    moved = max(
        step.abs().max() for step in gradient(logits, -1.0 if weights == "per_sequence" else 1.0)
    )
    tilts = objective(kind, aggregation=weights, kl_aggregation=weights).tilts
    assert moved > 1e-3 if tilts else moved < 1e-8
    assert tilts == (kind != "sequence_k1")


def test_what_has_no_closed_form_is_refused():
    with pytest.raises(UnsupportedOptionError, match="gradient of no divergence"):
        simulate(objective(kl_placement="reward"))
    with pytest.raises(UnsupportedOptionError, match="beta > 0"):
        simulate(objective(beta=0.0), anchored=True)
    with pytest.raises(UnsupportedOptionError, match="deviation of anchored rewards"):
        simulate(objective(scale="group_std", group_size=8), anchored=True)
    with pytest.raises(UnsupportedOptionError, match="group size"):
        simulate(objective(scale="group_std"))
