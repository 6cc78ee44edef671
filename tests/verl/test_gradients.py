"""What the audit claims about verl, against the gradient of verl's own code: `make test-verl`.

A frozen batch goes through verl's `apply_kl_penalty`, `compute_advantage` and `ppo_loss`, which
call the functions of `core_algos`, with the settings that the audit reads. The cases are those of
`VERL_EXECUTED`, which decide what the audit calls tested by running it.
"""

from importlib.metadata import version

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
from polymode.diagnostics.audit.frameworks.verl_executed import (
    ESTIMATORS,
    KINDS,
    LOSSES,
    MEANS,
    VERL_EXECUTED,
)
from tests.diagnostics.audit.host_claims import (
    claimed_entropy_weights,
    claimed_weights,
    cosine,
    make_batch,
    with_claim,
)
from verl import DataProto

ACTOR = "actor_rollout_ref.actor."
BETA = 0.3
EQUAL = 0.999
TOKEN_MEANS = {"optimal_token_baseline", "tir_optimal_token_baseline"}
# A reward is credited from its own token on.
TO_GO = {"gae", "reinforce_plus_plus", "remax", *TOKEN_MEANS}


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


def verl_descent(batch, **options):
    """The direction in which verl moves each log-probability of the batch."""
    return verl_descents(batch, **options)[0]


def verl_descents(
    batch, *, estimator="rloo", std=True, reward_kind=None, loss_kind=None, mode="vanilla",
    aggregation="token-mean", clip=0.2, bonus=0.0, correction="ppo_clip",
):  # fmt: skip
    """The directions in which verl moves log-probabilities and entropies of the batch."""
    n = len(batch.mask)
    data = _advantages(batch, estimator=estimator, std=std, reward_kind=reward_kind)
    config = FSDPActorConfig(
        strategy="fsdp", rollout_n=1, ppo_mini_batch_size=n, ppo_micro_batch_size_per_gpu=1,
        use_kl_loss=bool(loss_kind), kl_loss_coef=BETA, kl_loss_type=loss_kind or "low_var_kl",
        loss_agg_mode=aggregation, clip_ratio=clip, clip_ratio_low=clip, clip_ratio_high=clip,
        policy_loss=PolicyLossConfig(
            loss_mode=mode, clip_cov_ratio=1.0, clip_cov_lb=COVARIANCE, dro_beta=1.0,
            rollout_correction={"loss_type": correction},
        ),
        entropy_coeff=bonus,
    )  # fmt: skip
    outputs = {"log_probs": _flat(batch, batch.log_probs)}
    if bonus:  # else verl computes none
        outputs["entropy"] = _flat(batch, batch.entropies)
    loss, _ = ppo_loss(config, outputs, _loss_data(batch, data))
    found = [batch.log_probs, batch.entropies][: len(outputs)]
    return [-g * batch.mask for g in torch.autograd.grad(loss, found)]


COVARIANCE = 0.2  # tokens above it are dropped by clip_cov, all of them at a clip_cov_ratio of 1


def _advantages(batch, *, estimator, std, reward_kind):
    """Data with verl's advantages."""
    n = len(batch.mask)
    last = (torch.arange(n), batch.lengths.long() - 1)
    scores = torch.zeros_like(batch.mask)
    scores[last] = batch.rewards
    data = DataProto.from_dict(
        tensors={
            "token_level_scores": scores,
            "token_level_rewards": scores.clone(),
            "response_mask": batch.mask,
            "old_log_probs": batch.old_log_probs,
            "ref_log_prob": batch.ref_log_probs,
            "values": batch.values * batch.mask,
            "sum_pi_squared": batch.sum_pi_squared,
            "prompts": torch.ones(n, N_PROMPT, dtype=torch.long),
            "attention_mask": torch.cat([torch.ones(n, N_PROMPT), batch.mask], 1).long(),
            **({"reward_baselines": batch.greedy} if estimator == "remax" else {}),
        },
        non_tensors={
            "uid": batch.groups.numpy(),
            **{name: part.numpy() for name, part in zip("ab", batch.parts.T, strict=True)},
        },
    )
    if reward_kind:
        data, _ = apply_kl_penalty(data, FixedKLController(BETA), reward_kind)
    config = AlgoConfig(adv_estimator=estimator, norm_adv_by_std_in_grpo=std)
    object.__setattr__(config, "gdpo_reward_keys", ["a", "b"])
    return compute_advantage(data, estimator, norm_adv_by_std_in_grpo=std, config=config)


N_PROMPT = 2


def _flat(batch, values):
    """Values of tokens as verl's engines hand them on: unpadded, and one token to the left."""
    zeros = torch.zeros(N_PROMPT - 1, dtype=torch.float64)
    rows = zip(values, batch.lengths.long(), strict=True)
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


ADVANTAGES = VERL_EXECUTED.parts["advantages"]
LOSS = [*VERL_EXECUTED.parts["loss"], *VERL_EXECUTED.parts["bonus"]]
STD, MODE = "algorithm.norm_adv_by_std_in_grpo", f"{ACTOR}policy_loss.loss_mode"
MEAN = f"{ACTOR}loss_agg_mode"
# Number of cases that stand in the table for each estimator, and for each loss with an aggregation.
PER_ESTIMATOR, PER_LOSS = 2 * (len(KINDS) + 1), len(KINDS) + 1 + 2


def cases(part, *keys):
    """Cases of the table with the same values of some options, by these values."""
    found = {}
    for case in part:
        found.setdefault("-".join(case[key] for key in keys), []).append(case)
    return found


def claimed(case, **more):
    """What the audit says of a case, which it calls executed."""
    objective = audited(**case, **{f"{ACTOR}optim.weight_decay": 0.0}, **more)
    assert (objective.evidence, objective.not_executed) == ("executed", ())
    return objective


BY_ESTIMATOR = cases(ADVANTAGES, "algorithm.adv_estimator")
BY_LOSS = cases(LOSS, MODE, MEAN)


@pytest.mark.parametrize("estimator", BY_ESTIMATOR)
def test_advantages(estimator):
    """Every estimator with every KL in the reward, and none of the rivals of what is claimed."""
    assert len(BY_ESTIMATOR[estimator]) == PER_ESTIMATOR
    batch = make_batch(seed=3, far=1.5)
    kl = {"algorithm.kl_ctrl.kl_coef": BETA}
    for case in BY_ESTIMATOR[estimator]:
        kind = case["algorithm.kl_penalty"] if case["algorithm.use_kl_in_reward"] else None
        real = verl_descent(batch, estimator=estimator, std=case[STD], reward_kind=kind)
        objective = weighed(claimed(case, **kl), batch)
        to_go = estimator in TO_GO
        assert cosine(real, claimed_weights(objective, batch, to_go=to_go)) >= EQUAL, case
        for name, rival in rival_advantages(objective).items():
            assert cosine(real, claimed_weights(rival, batch, to_go=to_go)) < EQUAL, (case, name)


def weighed(objective, batch):
    """The objective with the weight that it has on this batch, where it depends on that."""
    if objective.trainer == "gpg":
        return with_claim(objective, reward_weight=len(batch.mask) / batch.rewards.count_nonzero())
    return (
        with_claim(objective, reward_weight=1.0) if objective.trainer == "grpo_passk" else objective
    )


def rival_advantages(objective):
    """What the audit tells from this, and does not claim of it."""
    o = objective
    if "lead_of_best" in o.reward_transformations:  # three numbers for the whole batch
        return {"the plain reward": with_claim(o, reward_transformations=())}
    found = {}
    if not o.reward_transformations:  # each reward is centred by itself
        other = "group_mean" if o.baseline in ("none", "batch_mean") else "none"
        found["another mean"] = with_claim(o, baseline=other)
    if o.scale != "batch_std":  # one factor for all
        scale = "group_std" if o.scale == "none" else "none"
        found["another scale"] = with_claim(o, scale=scale)
    if o.baseline in ("length_mean", "token_mean"):
        found["the plain mean"] = with_claim(o, baseline="group_mean")
    if o.reward_transformations:
        found["the plain reward"] = with_claim(o, reward_transformations=())
    if o.kl_placement == "reward":
        other = "k2" if o.kl_estimator != "k2" else "k1"
        found["no KL"] = with_claim(o, kl_placement="none")
        found["another KL"] = with_claim(o, kl_estimator=other)
    if o.kl_placement == "reward" and o.baseline != "batch_mean":
        found["that of the token"] = with_claim(o, kl_level="token")
    return found


@pytest.mark.parametrize("name", BY_LOSS)
def test_losses(name):
    """Every loss and aggregation with every KL and with a bonus, and none of the rivals."""
    batch = make_batch(seed=1)
    n_corrections = 2 if name.startswith("bypass_mode") else 1
    assert len(BY_LOSS[name]) == PER_LOSS * n_corrections
    for case in BY_LOSS[name]:
        kind = case[f"{ACTOR}kl_loss_type"] if case.get(f"{ACTOR}use_kl_loss") else None
        bonus, mode, mean = case.get(f"{ACTOR}entropy_coeff", 0.0), case[MODE], case[MEAN]
        real = verl_descents(
            batch, loss_kind=kind, mode=mode, aggregation=mean, bonus=bonus,
            correction=case["algorithm.rollout_correction.loss_type"],
        )  # fmt: skip
        objective = claimed(case, **{f"{ACTOR}kl_loss_coef": BETA})
        objective = on_this_batch(objective, mean, batch)
        assert cosine(torch.cat(real), claims(objective, batch)) >= EQUAL, case
        for rival, other in rival_losses(objective).items():
            assert cosine(torch.cat(real), claims(other, batch)) < EQUAL, (case, rival)


def claims(objective, batch):
    """The claimed weights of log-probabilities, and of entropies where there is a bonus."""
    rewarded = None
    if "high_covariance" in objective.drops:
        plain = with_claim(objective, kl_placement="none", aggregation="constant")
        advantage, log_p = (
            claimed_weights(plain, batch) * batch.mask.sum(),
            batch.log_probs.detach(),
        )
        mean = [(x * batch.mask).sum() / batch.mask.sum() for x in (advantage, log_p)]
        covariance = (advantage - mean[0]) * (log_p - mean[1])
        rewarded = (covariance <= COVARIANCE) | (covariance >= 5.0)
        assert 0.2 < (rewarded * batch.mask).sum() / batch.mask.sum() < 0.95
    found = [claimed_weights(objective, batch, rewarded=rewarded)]
    if objective.entropy_coef:
        found.append(claimed_entropy_weights(objective, batch))
    return torch.cat(found)


def on_this_batch(objective, mean, batch):
    """Fill in the weight of rewards that is a number of tokens, where the audit leaves it open."""
    own = objective.aggregation == "per_sequence" and mean != "seq-mean-token-mean"
    n, n_tokens = batch.mask.shape
    factor = {
        "token-mean": 1.0,
        "token-sum": float(batch.mask.sum()),
        "seq-mean-token-sum": float(batch.mask.sum()) / n,
        "seq-mean-token-sum-norm": float(batch.mask.sum()) / n / n_tokens,
    }
    weighs = objective.kl_placement == "loss" or objective.entropy_coef
    assert torch.tensor(objective.reward_weight).isnan() == (
        own and weighs and mean != "token-mean"
    )
    return with_claim(objective, reward_weight=1 / factor[mean] if own else 1.0)


def rival_losses(objective):
    """What the audit tells from this, and does not claim of it."""
    o = objective
    found = {}
    if o.reward_weight >= 1:  # else what stands beside hides it
        other = "constant" if o.aggregation != "constant" else "per_sequence"
        found["aggregation"] = with_claim(o, aggregation=other)
    if "high_covariance" in o.drops:
        found["all tokens"] = with_claim(o, drops=())
    if o.kl_placement == "loss":
        found["no KL"] = with_claim(o, kl_placement="none")
        kinds = {"k1", "k2", "k3"} - {{"k3_plus": "k2"}.get(o.kl_estimator, o.kl_estimator)}
        found |= {kind: with_claim(o, kl_estimator=kind) for kind in kinds}
    if o.entropy_coef:
        found["another bonus"] = with_claim(o, entropy_coef=-o.entropy_coef)
    return found


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


def test_gdpo_never_sees_a_kl_in_the_reward():
    """It takes the components of the reward, from which nothing was subtracted."""
    batch = make_batch(seed=6)
    objective, _ = in_reward("kl", **{"algorithm.adv_estimator": "gdpo"})
    assert (objective.divergence, objective.lost_beta) == ("none", BETA)
    found = [
        _advantages(batch, estimator="gdpo", std=True, reward_kind=kind).batch
        for kind in (None, "kl")
    ]
    assert not torch.equal(*(data["token_level_rewards"] for data in found))
    assert torch.equal(*(data["advantages"] for data in found))


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


def test_every_estimator_loss_and_kl_of_verl_is_executed():
    from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY

    from polymode.diagnostics.audit.frameworks.verl import (
        _AGGREGATIONS,
        _ESTIMATORS,
        _KINDS,
        _LOSSES,
    )

    assert set(ADV_ESTIMATOR_REGISTRY) == set(_ESTIMATORS) == set(ESTIMATORS)
    assert set(POLICY_LOSS_REGISTRY) == set(_LOSSES) == set(LOSSES)
    assert {kind.removesuffix("+") for kind in KINDS} == set(_KINDS)
    assert set(MEANS) == set(_AGGREGATIONS)
    assert version("verl") == VERL_EXECUTED.release
