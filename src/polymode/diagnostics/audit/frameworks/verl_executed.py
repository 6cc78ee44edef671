"""What `make test-verl` runs of verl: its cases, and what the audit calls tested by running it."""

from collections.abc import Iterator
from itertools import product

from polymode.diagnostics.audit.frameworks.executed import Case, Executed

__all__ = ["VERL_EXECUTED"]

ACTOR, ROLLOUT = "actor_rollout_ref.actor.", "actor_rollout_ref.rollout."
ESTIMATORS = (
    *("gae", "grpo", "grpo_vectorized", "grpo_passk", "reinforce_plus_plus", "rloo", "remax"),
    *("reinforce_plus_plus_baseline", "rloo_vectorized", "opo", "gpg", "gdpo"),
    *("optimal_token_baseline", "tir_optimal_token_baseline"),
)
LOSSES = (
    *("vanilla", "gspo", "cispo", "gpg", "sapo", "geo_mean", "kl_cov", "dro", "dppo_tv"),
    *("dppo_kl", "clip_cov", "bypass_mode"),
)
MEANS = (
    *("token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-sum-norm"),
    "seq-mean-token-mean",
)
_MODES = (*((loss, "ppo_clip") for loss in LOSSES), ("bypass_mode", "reinforce"))
_NAMES = ("kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3")
KINDS = (*_NAMES, *(f"{name}+" for name in _NAMES))


def _advantages() -> Iterator[Case]:
    """Yield what meets in `apply_kl_penalty` and `compute_advantage`."""
    for estimator, std, kind in product(ESTIMATORS, (True, False), (None, *KINDS)):
        yield {
            "algorithm.adv_estimator": estimator,
            "algorithm.norm_adv_by_std_in_grpo": std,
            "algorithm.use_kl_in_reward": kind is not None,
            "algorithm.kl_penalty": kind or "kl",
        }


def _losses() -> Iterator[Case]:
    """Yield what meets in `ppo_loss`: the policy loss and the KL beside it."""
    for (loss, correction), mean, kind in product(_MODES, MEANS, (None, *KINDS)):
        yield {
            f"{ACTOR}policy_loss.loss_mode": loss,
            "algorithm.rollout_correction.loss_type": correction,
            f"{ACTOR}loss_agg_mode": mean,
            f"{ACTOR}use_kl_loss": kind is not None,
            f"{ACTOR}kl_loss_type": kind or "low_var_kl",
        }


def _bonuses() -> Iterator[Case]:
    """Yield what meets there: the policy loss and the entropy beside it."""
    for (loss, correction), mean, bonus in product(_MODES, MEANS, (0.0, 0.1)):
        yield {
            f"{ACTOR}policy_loss.loss_mode": loss,
            "algorithm.rollout_correction.loss_type": correction,
            f"{ACTOR}loss_agg_mode": mean,
            f"{ACTOR}entropy_coeff": bonus,
        }


VERL_EXECUTED = Executed(
    release="0.9.1",
    parts={
        "advantages": tuple(_advantages()),
        "loss": tuple(_losses()),
        "bonus": tuple(_bonuses()),
    },
    plain={
        "algorithm.kl_ctrl.type": "fixed",
        "algorithm.gamma": 1.0,
        "algorithm.lam": 1.0,
        "algorithm.filter_groups.enable": False,
        "algorithm.use_pf_ppo": False,
        "algorithm.gdpo_reward_weights": None,
        "algorithm.rollout_correction.bypass_mode": False,
        "algorithm.rollout_correction.rollout_is": None,
        "algorithm.rollout_correction.rollout_rs": None,
        f"{ACTOR}optim.weight_decay": 0.0,
        f"{ROLLOUT}temperature": 1.0,
        f"{ROLLOUT}top_p": 1.0,
        f"{ROLLOUT}top_k": -1,
        f"{ROLLOUT}repetition_penalty": 1.0,
        f"{ROLLOUT}do_sample": True,
        "distillation.enabled": False,
    },
    free=(
        *(f"{ACTOR}kl_loss_coef", "algorithm.kl_ctrl.kl_coef", "algorithm.kl_ctrl.horizon"),
        *("algorithm.kl_ctrl.target_kl", "algorithm.filter_groups.metric", f"{ROLLOUT}n"),
        *("algorithm.gdpo_reward_keys", f"{ACTOR}policy_loss.dro_beta"),
        "actor_rollout_ref.model.path",
    ),
    neutral={f"{ACTOR}entropy_coeff": 0.0},
    needs={
        "algorithm.kl_penalty": ("algorithm.use_kl_in_reward", True),
        f"{ACTOR}kl_loss_type": (f"{ACTOR}use_kl_loss", True),
        "algorithm.rollout_correction.loss_type": (f"{ACTOR}policy_loss.loss_mode", "bypass_mode"),
    },
)
"""Every estimator with every KL in the reward, and every loss with every KL or bonus beside it."""
