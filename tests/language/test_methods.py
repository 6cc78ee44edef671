"""Every method of `polymode.shape` inside the trainers, and the plain baseline beside TRL's own.

What a method should have returned is computed from log-probabilities of a forward pass of our own.
"""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import RLOOConfig, RLOOTrainer

import polymode
from polymode.core.shaping import SHAPERS
from polymode.errors import UnsupportedOptionError
from polymode.language import MARAGRPOConfig, MARAGRPOTrainer, ShapedConfig, ShapedTrainer
from tests.language.enumerable import batch_gradient
from tests.language.runs import (
    ANSWERS,
    BETA,
    N_GENERATIONS,
    PROMPTS,
    last_letter,
    make_trainer,
    options,
    prescribe_samples,
    prescribed_ids,
    reward,
)

N_ROWS, N_STEPS = N_GENERATIONS * len(PROMPTS), 3
OPTIONS = {
    "differential_smoothing": {"correct": 0.1, "wrong": 0.2},
    "entropy_bonus": {"strength": 0.2},
    "pass_at_k": {"k": 2},
    "unlikeliness": {"strength": 0.5},
    "uniqueness": {"exponent": 0.5},
    "gapo": {"invalid": -1},
}
# At 1 both right answers have one mode; at .5 another joins, so that there is something to anchor.
THRESHOLDS = {n: 1.0 for n, f in SHAPERS.items() if "threshold" in f.__annotations__}
THRESHOLDS["anchored"] = 0.5


def some_rewards(completions, **_):
    """Rewards with a tie, two levels of good, and one that cannot be given."""
    known = {"x1": 1.0, "yy2": 0.5, "bad": None, "3": 1.0, "z4": 0.0}
    return [known[text] for text in completions]


def parity(prompt, completion):
    return last_letter(prompt, completion) or 0


def score(model, trainer):
    """Log-probability of every prescribed completion, one forward pass each."""
    out = []
    for index in range(N_ROWS):
        prompt = trainer.processing_class(PROMPTS[index // N_GENERATIONS])["input_ids"]
        ids = prescribed_ids(trainer.processing_class, index)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0]
        chosen = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        out.append(chosen.gather(1, torch.tensor(ids)[:, None]).sum().item())
    return np.array(out)


class PolicyBefore(TrainerCallback):
    """Score the completions before each step, with the policy that is about to draw them."""

    def __init__(self):
        self.log_probs = []

    def on_step_begin(self, args, state, control, model=None, **_):
        model.eval()
        self.log_probs.append(score(model, self.trainer))
        model.train()


def shaped_run(method, model_dir, out):
    """Train a few steps; return the trainer, and log p of the completions before each."""
    args = ShapedConfig(
        **options(
            out,
            method=method,
            method_options=OPTIONS.get(method),
            max_steps=N_STEPS,
            threshold=THRESHOLDS.get(method),
        )
    )
    plain = make_trainer("rloo", model_dir, out / "source")
    callback = PolicyBefore()
    trainer = ShapedTrainer(
        model=AutoModelForCausalLM.from_pretrained(model_dir),
        reward_funcs=some_rewards,
        args=args,
        train_dataset=plain.train_dataset,
        processing_class=plain.processing_class,
        callbacks=[callback],
        mode_fn=parity,
    )
    callback.trainer = trainer
    prescribe_samples(trainer).train()
    return trainer, callback.log_probs


@pytest.mark.parametrize("method", SHAPERS)
def test_rewards_are_those_of_the_shaper(method, tiny_model, tmp_path):
    trainer, log_probs = shaped_run(method, tiny_model, tmp_path)
    assert len(log_probs) == N_STEPS
    assert np.abs(log_probs[-1] - log_probs[0]).max() > 0.01  # it moved, so log p is not log q
    rewards = np.array([np.nan if r is None else r for r in some_rewards(ANSWERS)] * len(PROMPTS))
    log_q = score(AutoModelForCausalLM.from_pretrained(tiny_model), trainer)
    lengths = [len(prescribed_ids(trainer.processing_class, i)) for i in range(N_ROWS)]
    parameters = dict(OPTIONS.get(method, {}))
    if method in THRESHOLDS:
        parameters["threshold"] = THRESHOLDS[method]
    if method == "anchored":
        parameters |= {"beta": BETA, "outputs": list(ANSWERS) * len(PROMPTS)}
        # The last of each group was cut off, and may not be anchored.
        log_q = np.where(np.arange(N_ROWS) % N_GENERATIONS == N_GENERATIONS - 1, -np.inf, log_q)
    expected = polymode.shape(
        method,
        rewards,
        log_q,
        log_probs=log_probs[-1],
        groups=np.arange(N_ROWS) // N_GENERATIONS,
        lengths=np.array(lengths, float),
        modes=[parity(None, text) for text in ANSWERS] * len(PROMPTS),
        **parameters,
    )
    shaped = trainer.last_batch.rewards.numpy()
    unscored = np.isnan(rewards)
    assert unscored.any()
    np.testing.assert_array_equal(np.isnan(shaped), unscored)
    np.testing.assert_allclose(shaped, expected, rtol=1e-4, atol=1e-5)
    # What the method was for: it changed something, all but "plain".
    assert np.allclose(shaped[~unscored], rewards[~unscored]) == (method == "plain")
    logged = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    assert logged[-1] == pytest.approx(np.nanmean(shaped), rel=1e-4, abs=1e-6)


def test_plain_under_reverse_kl_is_trls_own_rloo(tiny_model, tmp_path):
    """One batch, away from the reference so that the KL is not 0; equal up to rounding.

    The order in which a matrix product adds depends on where its memory happens to lie, between two
    trainers of TRL as well. What passes through no matrix product is equal to the bit.
    """
    theirs = make_trainer("rloo", tiny_model, tmp_path / "a", base=RLOOConfig, host=RLOOTrainer)
    ours = make_trainer("rloo", tiny_model, tmp_path / "b", base=ShapedConfig, host=ShapedTrainer)
    assert (ours.args.method, ours.args.regulariser) == ("plain", "reverse_kl")
    gradients = []
    for trainer in (theirs, ours):
        with torch.no_grad():
            for weight in trainer.model.parameters():
                weight.mul_(1.05)
        gradients.append(batch_gradient(prescribe_samples(trainer)))
    assert gradients[0].norm() > 0
    assert (gradients[0] - gradients[1]).norm() < 1e-5 * gradients[0].norm()
    metrics = theirs._metrics["train"]
    assert {"reward", "reward_std", "kl", "rewards/reward/mean", "entropy"} <= set(metrics)
    assert metrics["kl"] != [0.0]
    for name, values in metrics.items():
        assert ours._metrics["train"][name] == pytest.approx(values, rel=1e-5), name
    for name in ("reward", "rewards/reward/mean", "rewards/reward/std"):
        assert ours._metrics["train"][name] == metrics[name]
    assert list(ours._logs["rewards"]["reward"]) == list(theirs._logs["rewards"]["reward"])
    advantages = [list(trainer._logs["advantages"]) for trainer in (ours, theirs)]
    assert advantages[0] == pytest.approx(advantages[1], rel=1e-5, abs=1e-6)
    assert set(ours._logs["rewards"]["shaping"]) == {0.0}


def refusal(tmp_path, trainer=ShapedTrainer, config=ShapedConfig, **changes):
    with pytest.raises(UnsupportedOptionError) as error:
        trainer("no/such-model", reward, config(**options(tmp_path, **changes)))
    return error.value.problems


NEEDS_LOG_P = ("unlikeliness", "uniform_correct", "entropy_bonus")


@pytest.mark.parametrize("method", NEEDS_LOG_P)
def test_methods_that_read_log_p_are_refused_by_grpo(method, tmp_path):
    problems = refusal(
        tmp_path,
        MARAGRPOTrainer,
        MARAGRPOConfig,
        method=method,
        method_options=OPTIONS.get(method),
    )
    assert problems == (
        f"method must not be {method!r} here: it reads log p of the completions, which GRPO has "
        "not computed when rewards are due; take ShapedTrainer",
    )


def test_no_other_method_needs_log_p():
    needed = {n for n, f in SHAPERS.items() if "log_probs" not in (f.__kwdefaults__ or {})}
    assert needed == set(NEEDS_LOG_P)


CASES = [
    (
        {"method": "pass_at_k", "threshold": None},
        [
            "threshold must be given: 'pass_at_k' needs this parameter",
            "method_options: k must be given: 'pass_at_k' needs this parameter",
        ],
    ),
    (
        {"method": "entropy_bonus", "method_options": {"strengths": 1}},
        [
            "method_options: strength must be given: 'entropy_bonus' needs this parameter",
            "method_options: unknown parameter 'strengths' of 'entropy_bonus', which has strength; "
            "did you mean 'strength'?",
        ],
    ),
    (
        {"method": "uniqueness", "method_options": {"exponent": -1}},
        ["method_options: exponent must be a finite number >= 0, got -1"],
    ),
    (
        {"method": "anchored", "method_options": {"strength": 0.5}},
        [
            "method_options must be unset with the method 'anchored', which has settings of its "
            "own (anchor_choice, anchor_strength, max_bonus …), got {'strength': 0.5}"
        ],
    ),
    (
        {"method": "anchored", "anchor_strength": 2.0, "max_bonus": -1.0},
        [
            "anchor_strength must be a number in [0, 1], got 2.0",
            "max_bonus must be a finite number >= 0, got -1.0",
        ],
    ),
]


@pytest.mark.parametrize(("changes", "problems"), CASES)
def test_what_a_method_lacks_is_said_in_the_words_of_the_settings(changes, problems, tmp_path):
    assert list(refusal(tmp_path, **changes)) == problems


def test_unknown_methods_suggest_known_ones(tmp_path):
    (problem,) = refusal(tmp_path, method="best_of_m")
    assert problem.endswith("got 'best_of_m'; did you mean 'best_of_n'?")
