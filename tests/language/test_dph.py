"""DPH-RL: replayed divergences, beside a hand-written oracle."""

import math

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.core import alpha_divergence, f_divergence
from polymode.errors import ConfigError
from polymode.language import MARAConfig, store_responses
from polymode.language.dph import DIVERGENCES, rows_at, token_divergence
from polymode.language.extra_loss import Place
from tests.language.runs import N_GENERATIONS, PROMPTS, TRAINERS, make_trainer, prescribe_samples
from tests.language.test_refusals import refusal
from tests.language.test_shared_prompt import FastMARATrainer

KINDS = ("rloo", "grpo")
SOLVED = PROMPTS[0]


def naive(d, divergence):
    """The formulas with Python's numbers, one token at a time."""
    d = max(-20.0, min(20.0, d))
    u = math.exp(d)
    if divergence == "forward":
        return max(-10.0, min(10.0, u - d - 1))
    if divergence == "jensen_shannon":
        return u * math.log(u) - (u + 1) * math.log((u + 1) / 2)
    return (u**0.8 - 0.8 * u - 0.2) / (0.2 * (0.2 - 1))


@pytest.mark.parametrize("divergence", DIVERGENCES)
@given(d=st.floats(-30, 30))
def test_tokens_are_those_of_the_formulas(divergence, d):
    log_q = torch.tensor([-1.0], dtype=torch.float64)
    result = token_divergence(log_q + d, log_q, divergence=divergence)
    assert result.values.item() == pytest.approx(naive(d, divergence), rel=1e-6, abs=1e-9)
    assert result.values.item() >= -1e-9  # each token's part is at least 0


@pytest.mark.parametrize(
    ("divergence", "core"),
    [
        ("forward", "forward_kl"),
        ("jensen_shannon", "jensen_shannon"),
        ("alpha", alpha_divergence(0.8)),  # our alpha is 1 minus theirs
    ],
)
def test_their_mean_under_the_reference_is_the_divergence(divergence, core):
    rng = np.random.default_rng(0)
    log_p, log_q = torch.tensor(rng.normal(size=(2, 9))).log_softmax(-1)
    mean = (log_q.exp() * token_divergence(log_p, log_q, divergence=divergence).values).sum()
    expected = f_divergence(log_p, log_q, divergence=core).item()
    assert mean.item() == pytest.approx(expected, rel=1e-9)


def test_what_is_cut_off_is_counted_and_has_no_gradient():
    log_q = torch.zeros(4)
    log_p = torch.tensor([-11.5, -10.0, 21.0, 0.5], requires_grad=True)
    result = token_divergence(log_p, log_q, divergence="forward")
    # e^D - D - 1 passes 10 between -11 and -10.99; at 21 nats both bounds hold.
    assert result.clipped.tolist() == [True, False, True, False]
    result.values.sum().backward()
    assert (log_p.grad == 0).tolist() == [True, False, True, False]
    result = token_divergence(log_p, log_q, divergence="jensen_shannon")
    assert result.clipped.tolist() == [False, False, True, False]


@given(n=st.integers(1, 7), count=st.integers(1, 9), start=st.integers(0, 30))
def test_rows_form_one_endless_series_of_shuffles(n, count, start):
    series = rows_at(0, 60, n=n, seed=3)
    assert rows_at(start, count, n=n, seed=3) == series[start : start + count]
    for epoch in range(60 // n):
        assert sorted(series[epoch * n : (epoch + 1) * n]) == list(range(n))


def test_shuffles_differ_between_epochs_and_seeds():
    series = rows_at(0, 40, n=20, seed=0)
    assert series[:20] != series[20:]
    assert series[:20] != rows_at(0, 20, n=20, seed=1)


@pytest.fixture(scope="module")
def stored_path(tiny_model, tmp_path_factory):
    """Stored responses in which the first prompt is solved, and the others are not."""
    path = tmp_path_factory.mktemp("stored") / "responses.jsonl"
    parts = (cls.from_pretrained(tiny_model) for cls in (AutoModelForCausalLM, AutoTokenizer))

    def reward(prompts, **_):
        return [float(prompt == SOLVED) for prompt in prompts]

    dataset = Dataset.from_dict({"prompt": list(PROMPTS)})
    store_responses(*parts, dataset, reward, path=path, n=8, max_new_tokens=4, progress=False)
    return str(path)


def dph_trainer(kind, model, out, stored_path, **changes):
    settings = {"dph_divergence": "forward", "dph_eta": 0.3, "dph_batch": 5, **changes}
    trainer = make_trainer(kind, model, out, stored_responses=stored_path, **settings)
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return trainer


def gradient_of(trainer, loss):
    trainer.model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters()])


def oracle(trainer, responses, divergence, *, per_token):
    """Response by response, token by token."""
    total = 0.0
    for response in responses:
        prompt, ids = response.completion
        log_p = trainer.model(torch.tensor([[*prompt, *ids]])).logits[0].log_softmax(-1)
        parts = []
        for i, (token, log_q) in enumerate(zip(ids, response.ref_log_probs, strict=True)):
            d = log_p[len(prompt) - 1 + i, token] - log_q
            u = d.exp()
            parts.append(
                {
                    "forward": u - d - 1,
                    "jensen_shannon": u * u.log() - (u + 1) * ((u + 1) / 2).log(),
                    "alpha": (u**0.8 - 0.8 * u - 0.2) / (0.2 * -0.8),
                }[divergence]
            )
        total = total + sum(parts) / (len(parts) if per_token else 1)
    return total / len(responses)


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_a_hand_written_loss(
    kind, divergence, tiny_model, tmp_path, stored_path
):
    trainer = dph_trainer(kind, tiny_model, tmp_path, stored_path, dph_divergence=divergence)
    trainer.model.train()
    ours = gradient_of(trainer, trainer.extra_loss(trainer.model, {}))
    term = trainer.extra_terms[0]
    responses = [term._responses[i] for i in rows_at(0, 5, n=8, seed=trainer.args.seed)]
    loss = 0.3 * oracle(trainer, responses, divergence, per_token=kind == "grpo")
    torch.testing.assert_close(ours, gradient_of(trainer, loss), rtol=1e-3, atol=1e-6)
    assert ours.norm() > 1e-3
    logged = trainer._metrics["train"]
    n_tokens = sum(len(r.ids) for r in responses)
    per_response = oracle(trainer, responses, divergence, per_token=False).item()
    assert logged["dph/divergence"] == [pytest.approx(per_response * 5 / n_tokens, rel=1e-3)]
    assert logged["dph/frac_clipped"] == [0.0]
    assert len(logged["dph/log_ratio"]) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_accumulated_micro_batches_equal_one_batch(kind, tiny_model, tmp_path, stored_path):
    """8 responses in one micro-batch, or 4 in each of two: the first epoch of the same shuffle."""
    gradients = []
    for n_micro in (1, 2):
        trainer = dph_trainer(
            kind,
            tiny_model,
            tmp_path / str(n_micro),
            stored_path,
            per_device_train_batch_size=2 * N_GENERATIONS // n_micro,
            gradient_accumulation_steps=n_micro,
            dph_batch=8 // n_micro,
            dph_eta=30.0,  # the term outweighs the policy gradient, which is dealt differently
            max_grad_norm=0.0,
            learning_rate=1e-3,
            optim="sgd",
        )
        before = [p.detach().clone() for p in trainer.model.parameters()]
        prescribe_samples(trainer).train()
        after = trainer.model.parameters()
        moved = [(a - b).flatten() for a, b in zip(after, before, strict=True)]
        gradients.append(torch.cat(moved))
    one, two = gradients
    assert torch.nn.functional.cosine_similarity(one, two, dim=0).item() > 0.999
    assert (two.norm() / one.norm()).item() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_solved_prompts_are_replayed_and_no_longer_explored(
    kind, tiny_model, tmp_path, stored_path
):
    trainer = dph_trainer(kind, tiny_model, tmp_path, stored_path)
    assert set(trainer.train_dataset["prompt"]) == set(PROMPTS) - {SOLVED}
    tokenizer = trainer.processing_class
    for response in trainer.extra_terms[0]._responses:
        assert list(response.completion.prompt_ids) == tokenizer(SOLVED)["input_ids"]


@pytest.mark.parametrize("method", ["plain", "anchored"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_trains_and_logs(kind, method, tiny_model, tmp_path, stored_path):
    trainer = dph_trainer(
        kind,
        tiny_model,
        tmp_path,
        stored_path,
        method=method,
        max_steps=2,
        per_device_train_batch_size=2 * N_GENERATIONS,
    )
    trainer.train()
    rows = [row for row in trainer.state.log_history if "loss" in row]
    assert all(math.isfinite(row["dph/divergence"]) for row in rows)
    assert ("mara/frac_good" in rows[0]) == (method == "anchored")


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_has_no_such_term(kind, tiny_model, tmp_path, stored_path):
    """Not even the number of micro-batches is known yet, before the first step."""
    trainer = dph_trainer(kind, tiny_model, tmp_path, stored_path, per_device_eval_batch_size=6)
    figures = trainer.evaluate(Dataset.from_dict({"prompt": list(PROMPTS)}))
    assert math.isfinite(figures["eval_loss"])
    assert not any("dph/" in name for name in figures)
    assert trainer.extra_loss(trainer.model.eval(), {}) == 0.0


def test_packed_rows_give_the_same_gradient(tiny_model, tmp_path, stored_path, monkeypatch):
    plain = dph_trainer("rloo", tiny_model, tmp_path, stored_path)
    monkeypatch.setitem(TRAINERS, "rloo", (FastMARATrainer, MARAConfig))
    packed = dph_trainer("rloo", tiny_model, tmp_path, stored_path)
    a, b = (gradient_of(t, t.extra_loss(t.model.train(), {})) for t in (plain, packed))
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_ranks_and_micro_batches_take_turns_without_overlap(tiny_model, tmp_path, stored_path):
    trainer = dph_trainer("rloo", tiny_model, tmp_path, stored_path, dph_batch=2)
    (term,) = trainer.extra_terms
    places = [Place(0, micro, 2, rank, 2, {}) for micro in range(2) for rank in range(2)]
    drawn = [c for place in places for c in term.extra(place).completions]
    assert sorted(drawn) == sorted(r.completion for r in term._responses)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_replays_what_comes_next(kind, tiny_model, tmp_path, stored_path):
    settings = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "dph_batch": 3}
    settings["per_device_train_batch_size"] = 2 * N_GENERATIONS
    whole = dph_trainer(kind, tiny_model, tmp_path / "a", stored_path, **settings)
    whole.train()
    resumed = dph_trainer(kind, tiny_model, tmp_path / "a", stored_path, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dph_divergence": "forwards"},
            "dph_divergence must be 'forward' or .*did you mean 'forward'",
        ),
        ({"dph_eta": 0.0}, "dph_eta must be"),
        ({"dph_batch": 0}, "dph_batch must be an integer >= 1, got 0"),
        ({"dph_perfect": 1.5}, r"dph_perfect must lie in \(0, 1\], got 1.5"),
        ({"stored_responses": None}, "stored_responses must name a file of store_responses"),
        (
            {"dph_divergence": None},
            "stored_responses is read by dph_divergence and forward_kl_samples",
        ),
        (
            {
                "gradient_checkpointing": True,
                "gradient_checkpointing_kwargs": {"use_reentrant": True},
            },
            r"gradient_checkpointing_kwargs\['use_reentrant'\] must be False",
        ),
        ({"threshold": None, "method": "plain"}, "threshold must be set with dph_divergence"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_settings_without_meaning_are_refused(kind, changes, message, tmp_path):
    settings = {"dph_divergence": "forward", "stored_responses": "x.jsonl", **changes}
    problems = refusal(tmp_path, kind, **settings)
    assert len(problems) == 1
    assert pytest.raises(AssertionError, match=message).matches(AssertionError(problems[0]))


def test_files_that_do_not_fit_the_run_are_refused(tiny_model, tmp_path, stored_path):
    def build(**changes):
        dph_trainer("rloo", tiny_model, tmp_path, stored_path, **changes)

    with pytest.raises(ConfigError, match=r"temperature of the stored .*, got 1.0 and 0.5"):
        build(temperature=0.5)
    with pytest.raises(ConfigError, match="no prompt is solved by 1 of its responses"):
        build(threshold=2.0)
    with pytest.raises(ConfigError, match="every prompt of the dataset is solved"):
        build(threshold=-1.0)
