"""What the audit claims about frameworks that are not executed, against descriptions of them."""

import pytest

from polymode.diagnostics.audit import audit_config

torch = pytest.importorskip("torch")

from tests.diagnostics.audit import descriptions  # noqa: E402
from tests.diagnostics.audit.host_claims import (  # noqa: E402
    claimed_weights,
    cosine,
    descent,
    make_batch,
    with_claim,
)

BETA, EQUAL = 0.3, 0.999


def audited(framework, config, version=None):
    return audit_config(config, framework=framework, version=version).objective


def agreement(objective, loss, batch, **claims):
    """Cosine of what a description descends with what is claimed."""
    return cosine(descent(loss, batch) * batch.mask, claimed_weights(objective, batch, **claims))


# OpenRLHF.

OPENRLHF_ESTIMATORS = (
    *("gae", "reinforce", "rloo", "reinforce_baseline", "group_norm", "dr_grpo"),
    "flash_reinforce",
)


def openrlhf(**options):
    names = {
        "estimator": "algo.advantage.estimator",
        "kind": "algo.kl.estimator",
        "use_loss": "algo.kl.use_loss",
        "unbiased": "algo.kl.unbiased_gradient",
        "mode": "actor.loss_agg_mode",
    }
    modes = {"token": "token-mean", "sequence": "seq-mean-token-mean"}
    config = {names[k]: modes.get(v, v) if k == "mode" else v for k, v in options.items()}
    group = {"rollout.n_samples_per_prompt": 4, "algo.kl.init_coef": BETA}
    return audited("openrlhf", group | config)


@pytest.mark.parametrize("use_loss", [False, True])
@pytest.mark.parametrize("estimator", OPENRLHF_ESTIMATORS)
def test_openrlhf_estimators(estimator, use_loss):
    batch = make_batch(seed=1)
    options = {"estimator": estimator, "use_loss": use_loss, "kind": "k2" if use_loss else "k1"}
    loss = descriptions.openrlhf(batch, beta=BETA, **options)
    objective = openrlhf(**options)
    shifted = estimator == "reinforce_baseline" and not use_loss
    assert agreement(objective, loss, batch, to_go=True, shifted=shifted) >= EQUAL


@pytest.mark.parametrize("mode", ["token", "sequence"])
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_openrlhf_kl_in_the_loss(kind, unbiased, mode):
    batch = make_batch(seed=2)
    options = {"kind": kind, "unbiased": unbiased, "mode": mode, "use_loss": True}
    loss = descriptions.openrlhf(batch, beta=BETA, estimator="rloo", **options)
    objective = openrlhf(estimator="rloo", **options)
    assert agreement(objective, loss, batch) >= EQUAL
    descends = (
        "reverse_kl" if unbiased else {"k1": "none", "k2": "reverse_kl", "k3": "forward_kl"}[kind]
    )
    assert objective.divergence == descends


def test_openrlhf_standardises_the_reward_alone():
    """Its `group_norm` changes beta although the KL stands in the reward."""
    batch = make_batch(seed=3)
    objective = openrlhf(estimator="group_norm")
    loss = descriptions.openrlhf(batch, beta=BETA, estimator="group_norm")
    together = with_claim(objective, kl_in_advantage=True)
    assert agreement(objective, loss, batch, to_go=True) >= EQUAL
    assert agreement(together, loss, batch, to_go=True) < 0.99
    assert objective.beta_eff(0.9) < 0.75 * BETA  # four completions for each prompt
    assert openrlhf(estimator="rloo").beta_eff(0.9) == BETA


# SkyRL.


def skyrl(**options):
    names = {
        "estimator": "advantage_estimator",
        "kind": "kl_estimator_type",
        "std": "grpo_norm_by_std",
        "reduction": "loss_reduction",
    }
    place = options.pop("place", "loss")
    config = {f"trainer.algorithm.{names[k]}": v for k, v in options.items()}
    config["trainer.algorithm.use_kl_loss"] = place == "loss"
    config["trainer.algorithm.use_kl_in_reward"] = place == "reward"
    beta = {"trainer.algorithm.kl_loss_coef": BETA, "generator.n_samples_per_prompt": 4}
    return audited("skyrl", beta | config)


@pytest.mark.parametrize("reduction", ["token_mean", "sequence_mean"])
@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
@pytest.mark.parametrize("place", ["loss", "reward"])
@pytest.mark.parametrize(
    ("estimator", "std"),
    [("grpo", True), ("grpo", False), ("rloo", True), ("reinforce++", True), ("gae", True)],
)
def test_skyrl(estimator, std, place, kind, reduction):
    batch = make_batch(seed=4)
    options = {"estimator": estimator, "std": std, "place": place, "kind": kind}
    options["reduction"] = reduction
    loss = descriptions.skyrl(batch, beta=BETA, **options)
    to_go = estimator in ("reinforce++", "gae")
    assert agreement(skyrl(**options), loss, batch, to_go=to_go) >= EQUAL


def test_skyrl_weighs_tokens_of_reward_and_kl_differently():
    batch = make_batch(seed=5)
    objective = skyrl(estimator="rloo", kind="k2")
    assert (objective.aggregation, objective.kl_aggregation) == ("constant", "per_sequence")
    loss = descriptions.skyrl(batch, beta=BETA, estimator="rloo", kind="k2")
    alike = with_claim(objective, kl_aggregation="constant")
    assert agreement(objective, loss, batch) >= EQUAL
    assert agreement(alike, loss, batch) < 0.999


# NeMo-RL.


def nemo_rl(version="0.7.0", **options):
    names = {
        "estimator": "grpo.adv_estimator.name",
        "kind": "loss_fn.reference_policy_kl_type",
        "in_reward": "loss_fn.use_kl_in_reward",
        "std": "grpo.normalize_rewards",
        "others": "grpo.use_leave_one_out_baseline",
        "minus_baseline": "grpo.adv_estimator.minus_baseline",
        "token_level": "loss_fn.token_level_loss",
    }
    config = {names[k]: v for k, v in options.items()}
    group = {"grpo.num_generations_per_prompt": 4, "loss_fn.reference_policy_kl_penalty": BETA}
    return audited("nemo_rl", group | config, version)


@pytest.mark.parametrize("token_level", [True, False])
@pytest.mark.parametrize("kind", ["k1", "k3"])
@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize("std", [True, False])
def test_nemo_rl(std, others, kind, token_level):
    batch = make_batch(seed=6)
    options = {"std": std, "others": others, "kind": kind, "token_level": token_level}
    loss = descriptions.nemo_rl(batch, beta=BETA, **options)
    objective = nemo_rl(**options)
    assert agreement(objective, loss, batch) >= EQUAL
    assert (objective.divergence, objective.level) == ("reverse_kl", "token")


def test_nemo_rl_changed_what_it_descends():
    batch = make_batch(seed=7)
    old, new = nemo_rl("0.6.0"), nemo_rl("0.7.0")
    assert (old.divergence, new.divergence) == ("forward_kl", "reverse_kl")
    before = descriptions.nemo_rl(batch, beta=BETA, with_ratio=False)
    after = descriptions.nemo_rl(batch, beta=BETA)
    assert agreement(old, before, batch) >= EQUAL > agreement(new, before, batch)
    assert agreement(new, after, batch) >= EQUAL > agreement(old, after, batch)


@pytest.mark.parametrize("minus_baseline", [True, False])
@pytest.mark.parametrize("in_reward", [True, False])
def test_nemo_rl_reinforce_plus_plus_bears_the_kl_token_by_token(in_reward, minus_baseline):
    batch = make_batch(seed=8)
    options = {"estimator": "reinforce_plus_plus", "kind": "k1", "in_reward": in_reward}
    options["minus_baseline"] = minus_baseline
    loss = descriptions.nemo_rl(batch, beta=BETA, **options)
    objective = nemo_rl(**options)
    assert (objective.divergence, objective.level) == ("reverse_kl", "token")
    if not in_reward:
        assert agreement(objective, loss, batch) >= EQUAL
        return
    assert agreement(objective, loss, batch, shifted=True) >= EQUAL
    whole = with_claim(objective, kl_level="sequence")
    assert agreement(whole, loss, batch, shifted=True) < 0.99


def test_nemo_rl_grpo_drops_a_kl_that_is_to_be_in_the_reward():
    objective = nemo_rl(in_reward=True)
    assert (objective.divergence, objective.lost_beta) == ("none", BETA)


# slime.


def slime(**options):
    names = {
        "estimator": "advantage-estimator",
        "kl_coef": "kl-coef",
        "kl_loss_coef": "kl-loss-coef",
        "kind": "kl-loss-type",
        "unbiased": "use-unbiased-kl",
        "whitens": "normalize-advantages",
        "per_token": "calculate-per-token-loss",
    }
    off = {"normalise": "disable-rewards-normalization", "std": "disable-grpo-std-normalization"}
    config = {names[k]: v for k, v in options.items() if k in names}
    config |= {off[k]: not v for k, v in options.items() if k in off}
    config |= {"use-kl-loss": True} if options.get("kl_loss_coef") else {}
    return audited("slime", {"n-samples-per-prompt": 4} | config)


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("std", [True, False])
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_slime_kl_in_the_loss(kind, unbiased, std, per_token):
    batch = make_batch(seed=9)
    options = {"kl_loss_coef": BETA, "kind": kind, "unbiased": unbiased, "std": std}
    options["per_token"] = per_token
    loss = descriptions.slime(batch, **options)
    assert agreement(slime(**options), loss, batch) >= EQUAL


def test_the_default_kl_of_slime_regularises_nothing():
    batch = make_batch(seed=10)
    objective = slime(kl_loss_coef=BETA)
    assert (objective.kl_estimator, objective.divergence) == ("k1", "none")
    loss = descriptions.slime(batch, kl_loss_coef=BETA)
    reverse = with_claim(objective, kl_estimator="k2")
    assert agreement(reverse, loss, batch) < 0.99


def test_slime_grpo_never_subtracts_the_kl():
    batch = make_batch(seed=11)
    objective = slime(kl_coef=BETA)
    assert (objective.divergence, objective.lost_beta) == ("none", BETA)
    assert agreement(objective, descriptions.slime(batch, kl_coef=BETA), batch) >= EQUAL


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("estimator", ["reinforce_plus_plus", "ppo"])
def test_slime_kl_of_the_sequence(estimator, per_token):
    batch = make_batch(seed=12)
    options = {"estimator": estimator, "kl_coef": BETA, "kind": "k1", "per_token": per_token}
    options["whitens"] = estimator == "reinforce_plus_plus"
    objective = slime(**options)
    assert (objective.divergence, objective.level) == ("reverse_kl", "sequence")
    loss = descriptions.slime(batch, **options)
    assert agreement(objective, loss, batch, to_go=True) >= EQUAL


def test_slime_kl_of_single_tokens_in_the_reward():
    batch = make_batch(seed=13)
    options = {"estimator": "reinforce_plus_plus_baseline", "kl_coef": BETA, "kind": "k1"}
    objective = slime(**options)
    assert (objective.divergence, objective.level) == ("reverse_kl", "token")
    loss = descriptions.slime(batch, **options)
    assert agreement(objective, loss, batch) >= EQUAL
    whole = with_claim(objective, kl_level="sequence")
    assert agreement(whole, loss, batch) < 0.99
