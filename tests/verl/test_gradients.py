"""What the audit claims about verl, against the gradient of verl's own code: `make test-verl`.

A frozen batch goes through verl's `apply_kl_penalty`, `compute_advantage` and `ppo_loss`, which
call the functions of `core_algos`, with the settings that the audit reads.
"""

import pytest

pytest.importorskip("verl")
pytest.importorskip("transfer_queue")

import torch
from tensordict import TensorDict
from verl.trainer.config import AlgoConfig
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, FixedKLController
from verl.trainer.ppo.ray_trainer import apply_kl_penalty, compute_advantage
from verl.utils import tensordict_utils
from verl.workers.config import FSDPActorConfig, PolicyLossConfig
from verl.workers.utils.losses import ppo_loss

from polymode.diagnostics.audit import audit_config
from tests.diagnostics.audit.host_claims import (
    claimed_weights,
    cosine,
    descent,
    make_batch,
    with_claim,
)
from verl import DataProto

ACTOR = "actor_rollout_ref.actor."
BETA = 0.3
EQUAL = 0.999
TO_GO = {"gae", "reinforce_plus_plus", "remax"}  # a reward is credited from its own token on


def audited(**options):
    """The objective that the audit reads from options, given with `__` for a dot."""
    base = {"actor_rollout_ref.rollout.n": 4, "algorithm.adv_estimator": "rloo"}
    config = base | {key.replace("__", "."): value for key, value in options.items()}
    return audit_config(config, framework="verl", version="0.9.1").objective


def in_loss(kind, **options):
    chosen = {f"{ACTOR}use_kl_loss": True, f"{ACTOR}kl_loss_coef": BETA}
    return audited(**chosen, **{f"{ACTOR}kl_loss_type": kind}, **options), kind


def in_reward(kind, **options):
    chosen = {"algorithm.use_kl_in_reward": True, "algorithm.kl_ctrl.kl_coef": BETA}
    return audited(**chosen, **{"algorithm.kl_penalty": kind}, **options), kind


def verl_descent(
    batch, *, estimator="rloo", std=True, reward_kind=None, loss_kind=None, mode="vanilla",
    aggregation="token-mean", clip=0.2, entropy=0.0,
):  # fmt: skip
    """The direction in which verl moves each log-probability of the batch."""
    n = len(batch.mask)
    scores = torch.zeros_like(batch.mask)
    scores[torch.arange(n), batch.lengths.long() - 1] = batch.rewards
    data = DataProto.from_dict(
        tensors={
            "token_level_scores": scores,
            "token_level_rewards": scores.clone(),
            "response_mask": batch.mask,
            "old_log_probs": batch.old_log_probs,
            "ref_log_prob": batch.ref_log_probs,
            "values": batch.values * batch.mask,
            **({"reward_baselines": batch.greedy} if estimator == "remax" else {}),
        },
        non_tensors={"uid": batch.groups.numpy()},
    )
    if reward_kind:
        data, _ = apply_kl_penalty(data, FixedKLController(BETA), reward_kind)
    data = compute_advantage(
        data, estimator, norm_adv_by_std_in_grpo=std, config=AlgoConfig(adv_estimator=estimator)
    )
    config = FSDPActorConfig(
        strategy="fsdp", rollout_n=1, ppo_mini_batch_size=n, ppo_micro_batch_size_per_gpu=1,
        use_kl_loss=bool(loss_kind), kl_loss_coef=BETA, kl_loss_type=loss_kind or "low_var_kl",
        loss_agg_mode=aggregation, clip_ratio=clip, clip_ratio_low=clip, clip_ratio_high=clip,
        policy_loss=PolicyLossConfig(loss_mode=mode), entropy_coeff=entropy,
    )  # fmt: skip
    loss, _ = ppo_loss(config, {"log_probs": _flat(batch)}, _loss_data(batch, data))
    return descent(loss, batch) * batch.mask


N_PROMPT = 2


def _flat(batch):
    """Log-probabilities as verl's engines hand them on: unpadded, and one token to the left."""
    zeros = torch.zeros(N_PROMPT - 1, dtype=torch.float64)
    rows = zip(batch.log_probs, batch.lengths.long(), strict=True)
    parts = [torch.cat([zeros, row[:n], zeros.new_zeros(1)]) for row, n in rows]
    return torch.cat(parts)


def _loss_data(batch, data):
    n, n_tokens = batch.mask.shape
    content = {
        "prompts": torch.ones(n, N_PROMPT, dtype=torch.long),
        "responses": torch.ones(n, n_tokens, dtype=torch.long),
        "attention_mask": torch.cat([torch.ones(n, N_PROMPT), batch.mask], 1).long(),
        "response_mask": batch.mask,
        "old_log_probs": batch.old_log_probs,
        "advantages": data.batch["advantages"],
        "ref_log_prob": batch.ref_log_probs,
    }
    found = TensorDict(content, batch_size=n)
    sizes = {"dp_size": 1, "batch_num_tokens": None, "global_batch_size": None}
    tensordict_utils.assign_non_tensor(found, **sizes)
    return found


LOSS_KINDS = ("kl", "k1", "mse", "k2", "low_var_kl", "k3", "kl+", "low_var_kl+", "k3+")
MODES = (
    *("token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-sum-norm"),
    "seq-mean-token-mean",
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", LOSS_KINDS)
def test_kl_in_the_loss(kind, mode):
    batch = make_batch(seed=1)
    objective, _ = in_loss(kind, **{f"{ACTOR}loss_agg_mode": mode})
    real = verl_descent(batch, loss_kind=kind, aggregation=mode)
    assert cosine(real, claimed_weights(objective, batch)) >= EQUAL


@pytest.mark.parametrize(
    ("kind", "descends"),
    [("k1", "none"), ("k2", "reverse_kl"), ("low_var_kl", "forward_kl"), ("k3+", "reverse_kl"),
     ("abs", "biased")],
)  # fmt: skip
def test_which_divergence_a_kl_in_the_loss_descends(kind, descends):
    """The claim by name, and the gradients of the others are told apart from it."""
    batch = make_batch(seed=2)
    objective, _ = in_loss(kind)
    assert (objective.divergence, objective.level) == (
        descends, None if descends == "none" else "token"
    )  # fmt: skip
    real = verl_descent(batch, loss_kind=kind)
    for other in (
        {"k1", "k2", "k3"}
        - {objective.kl_estimator}
        - ({"k2"} if objective.kl_estimator == "k3_plus" else set())
    ):
        assert cosine(real, claimed_weights(in_loss(other)[0], batch)) < 0.99


ESTIMATORS = {
    **{"grpo": {}, "grpo_vectorized": {}, "rloo": {}, "rloo_vectorized": {}, "remax": {}},
    **{"gae": {}, "reinforce_plus_plus": {}, "reinforce_plus_plus_baseline": {}},
}


@pytest.mark.parametrize("std", [True, False])
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("place", ["none", "reward", "loss"])
def test_estimators(place, estimator, std):
    batch = make_batch(seed=3)
    options = {
        "algorithm.adv_estimator": estimator,
        "algorithm.norm_adv_by_std_in_grpo": std,
    }
    if place == "reward":
        objective, _ = in_reward("kl", **options)
    else:
        objective = in_loss("k2", **options)[0] if place == "loss" else audited(**options)
    real = verl_descent(
        batch,
        estimator=estimator,
        std=std,
        reward_kind="kl" if place == "reward" else None,
        loss_kind="k2" if place == "loss" else None,
    )
    claimed = claimed_weights(objective, batch, to_go=estimator in TO_GO)
    assert cosine(real, claimed) >= EQUAL


def test_standardisation_acts_on_a_kl_in_the_reward_and_not_on_one_in_the_loss():
    batch = make_batch(seed=4)
    std = {"algorithm.adv_estimator": "grpo"}
    for objective, places in (
        (in_reward("kl", **std)[0], {"reward_kind": "kl"}),
        (in_loss("k2", **std)[0], {"loss_kind": "k2"}),
    ):
        real = verl_descent(batch, estimator="grpo", **places)
        other = with_claim(objective, scale="none")
        assert cosine(real, claimed_weights(objective, batch)) >= EQUAL
        assert cosine(real, claimed_weights(other, batch)) < 0.99
    assert in_reward("kl", **std)[0].beta_eff(0.9, 8) == BETA
    assert in_loss("k2", **std)[0].beta_eff(0.9, 8) < BETA / 2


def test_a_kl_in_the_reward_is_that_of_sequences():
    batch = make_batch(seed=5)
    objective, _ = in_reward("kl")
    assert (objective.divergence, objective.level) == ("reverse_kl", "sequence")
    real = verl_descent(batch, reward_kind="kl")
    assert cosine(real, claimed_weights(objective, batch)) >= EQUAL
    own_token = with_claim(objective, kl_level="token")
    assert cosine(real, claimed_weights(own_token, batch)) < 0.99


@pytest.mark.parametrize("kind", ["k2", "low_var_kl"])
def test_other_estimators_in_the_reward_descend_no_kl(kind):
    batch = make_batch(seed=6)
    objective, _ = in_reward(kind)
    assert objective.divergence == "biased"
    real = verl_descent(batch, reward_kind=kind)
    assert cosine(real, claimed_weights(objective, batch)) >= EQUAL
    assert cosine(real, claimed_weights(in_reward("kl")[0], batch)) < 0.99


def test_gdpo_never_sees_a_kl_in_the_reward():
    """It takes the components of the reward, from which nothing was subtracted."""
    batch = make_batch(seed=6)
    objective, _ = in_reward("kl", **{"algorithm.adv_estimator": "gdpo"})
    assert (objective.divergence, objective.lost_beta) == ("none", BETA)
    n, n_tokens = batch.mask.shape
    tensors = {
        "prompts": torch.ones(n, N_PROMPT, dtype=torch.long),
        "attention_mask": torch.cat([torch.ones(n, N_PROMPT), batch.mask], 1).long(),
        "response_mask": batch.mask,
        "token_level_scores": torch.zeros(n, n_tokens),
        "token_level_rewards": torch.zeros(n, n_tokens),
        "old_log_probs": batch.old_log_probs,
        "ref_log_prob": batch.ref_log_probs,
    }
    parts = {"a": batch.rewards.numpy(), "b": batch.greedy.numpy() + batch.rewards.numpy() ** 2}
    config = AlgoConfig(adv_estimator="gdpo")
    object.__setattr__(config, "gdpo_reward_keys", ["a", "b"])
    found = []
    for subtracts in (False, True):
        data = DataProto.from_dict(tensors, {"uid": batch.groups.numpy(), **parts})
        if subtracts:
            data, _ = apply_kl_penalty(data, FixedKLController(BETA), "kl")
            assert data.batch["token_level_rewards"].abs().sum() > 0
        found.append(compute_advantage(data, "gdpo", config=config).batch["advantages"])
    assert torch.equal(*found)


@pytest.mark.parametrize(
    "mode", ["vanilla", "gspo", "cispo", "gpg", "sapo", "geo_mean", "dppo_tv", "dppo_kl"]
)
def test_policy_losses_agree_on_policy(mode):
    batch = make_batch(seed=7)
    objective = audited(**{f"{ACTOR}policy_loss.loss_mode": mode})
    real = verl_descent(batch, mode=mode)
    assert cosine(real, claimed_weights(objective, batch)) >= EQUAL


def test_the_ratio_is_that_of_tokens_or_of_sequences():
    batch = make_batch(seed=8, off_policy=0.3)
    for mode, other in (("vanilla", "gspo"), ("gspo", "vanilla")):
        objective = audited(**{f"{ACTOR}policy_loss.loss_mode": mode})
        rival = audited(**{f"{ACTOR}policy_loss.loss_mode": other})
        real = verl_descent(batch, mode=mode, clip=10.0)
        assert cosine(real, claimed_weights(objective, batch)) >= EQUAL
        assert cosine(real, claimed_weights(rival, batch)) < 0.999


def test_clipping_acts_only_where_it_is_said_to():
    on_policy = audited(**{f"{ACTOR}ppo_mini_batch_size": 1024})
    assert not on_policy.clipping
    batch = make_batch(seed=9)
    assert cosine(verl_descent(batch, clip=1e-3), claimed_weights(on_policy, batch)) >= EQUAL
    off_policy = audited()  # four steps for each batch, by default
    assert off_policy.clipping
    batch = make_batch(seed=9, off_policy=0.5)
    assert cosine(verl_descent(batch, clip=0.2), claimed_weights(off_policy, batch)) < 0.99


def test_the_clamp_takes_the_gradient_of_k3_and_not_that_of_k3_plus():
    batch = make_batch(seed=10, far=4.0)
    for kind, clamped in (("low_var_kl", True), ("k3+", False)):
        objective, _ = in_loss(kind)
        assert (objective.kl_clip is not None) is clamped
        real = verl_descent(batch, loss_kind=kind)
        assert (cosine(real, claimed_weights(objective, batch)) < 0.9) is clamped


def test_every_estimator_of_verl_is_known():
    from polymode.diagnostics.audit.frameworks.verl import _ESTIMATORS

    assert set(ADV_ESTIMATOR_REGISTRY) <= set(_ESTIMATORS)


def test_every_policy_loss_of_verl_is_known():
    from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY

    from polymode.diagnostics.audit.frameworks.verl import _LOSSES

    assert set(POLICY_LOSS_REGISTRY) <= set(_LOSSES)
