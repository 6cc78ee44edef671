"""Replay splits the gradient exactly: all batches of two samples, each with its probability."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polymode.core import anchor
from polymode.language import ShapedTrainer
from polymode.language.extra_loss import Completion
from polymode.language.keys import output_key, prompt_key
from polymode.language.replay import Kept, rarest
from tests.language.enumerable import (
    COUNTS,
    EOS,
    LETTERS,
    PROMPT,
    REWARDS,
    batch_gradient,
    flat_gradient,
    log_probs,
    prescribed_trainer,
    save_reference,
)
from tests.language.runs import last_letter, make_trainer
from tests.language.test_cross_entropy import config, write_stored
from tests.language.test_gradients import cosine, exact_gradient, reference_of
from tests.language.test_refusals import refusal

N = sum(COUNTS)
P = torch.tensor(COUNTS, dtype=torch.float64) / N


@pytest.fixture(scope="module")
def reference_dir(tiny_model, tmp_path_factory):
    return save_reference(tiny_model, tmp_path_factory.mktemp("enumerable"))


def replaying(reference_dir, out, kept="", **changes):
    """Build a trainer that has kept some letters; the rarest of the good ones are d and f."""
    settings = {
        "regulariser": "reverse_kl",
        "forward_kl_samples": "policy",
        "num_generations": 2,
        "per_device_train_batch_size": 2,
        "replay_size": len(kept),
        **changes,
    }
    stored = settings.pop("stored_responses", None)
    trainer = prescribed_trainer(ShapedTrainer, config(out, stored, **settings), reference_dir)
    if kept:
        trainer._replay._kept = {prompt_key(PROMPT): entries(trainer, reference_dir, kept)}
    return trainer


def entries(trainer, reference_dir, letters):
    tokenizer = trainer.processing_class
    _, log_q = reference_of(reference_dir)
    prompt_ids = tuple(tokenizer(PROMPT)["input_ids"])
    return [
        Kept(
            Completion(prompt_ids, (*tokenizer(letter)["input_ids"], EOS)),
            REWARDS[letter],
            log_q[LETTERS.index(letter)].item(),
            0.0,  # refreshed in the loss
            output_key([*tokenizer(letter)["input_ids"], EOS]),
            None,
        )
        for letter in letters
    ]


def gradient_of(trainer, letters):
    """Gradient of one batch; the trainer's memory stays as it was."""
    ids = [[token, EOS] for token in trainer.processing_class(letters)["input_ids"]]
    trainer._generate_single_turn = lambda *_: ids
    trainer._step = 0
    kept = None if trainer._replay is None else dict(trainer._replay._kept)
    gradient = batch_gradient(trainer)
    if kept is not None:
        trainer._replay._kept = kept
    return gradient


def over_all_batches(trainer):
    """Mean gradient over all 36 batches of two samples, and its total variance."""
    pairs = [(i, j) for i in range(len(LETTERS)) for j in range(len(LETTERS))]
    weights = torch.stack([P[i] * P[j] for i, j in pairs])
    gradients = torch.stack([gradient_of(trainer, LETTERS[i] + LETTERS[j]) for i, j in pairs])
    mean = (weights[:, None] * gradients).sum(0)
    return mean, (weights * (gradients - mean).square().sum(1)).sum().item()


SETTINGS = [
    ("plain", "reverse_kl", "policy"),
    ("anchored", "reverse_kl", "policy"),
    ("anchored", "forward_kl", "policy"),
    ("anchored", "forward_kl", "reference"),
]


@pytest.mark.parametrize(("method", "regulariser", "samples"), SETTINGS)
def test_the_mean_over_all_batches_is_exact_and_varies_less(
    method, regulariser, samples, reference_dir, tmp_path
):
    """`f` is the anchor of all groups, since it is kept: anchored rewards are the same in each."""
    settings = {"method": method, "regulariser": regulariser, "forward_kl_samples": samples}
    if samples == "reference":
        settings["stored_responses"] = write_stored(reference_dir, tmp_path / "exact.jsonl")
    trainer = replaying(reference_dir, tmp_path, "df", **settings)
    mean, variance = over_all_batches(trainer)
    rewards, log_q = reference_of(reference_dir)
    if method == "anchored":
        anchored = anchor(rewards, log_q, threshold=0.9)
        rewards, log_q = anchored.rewards, anchored.ref_log_probs
    exact = exact_gradient(trainer, rewards, log_q, regulariser)
    assert cosine(mean, exact) > 0.99999
    assert (mean.norm() / exact.norm()).item() == pytest.approx(1.0, rel=1e-3)
    if method == "plain":  # anchors found in a batch would differ, were `f` not kept
        without_mean, without = over_all_batches(replaying(reference_dir, tmp_path, **settings))
        assert cosine(without_mean, exact) > 0.99999
        assert variance < 0.9 * without


def test_both_parts_are_what_they_should_be(reference_dir, tmp_path):
    """The batch that holds each letter as often as its probability says, beside autograd."""
    trainer = replaying(
        reference_dir,
        tmp_path,
        "df",
        method="plain",
        num_generations=N,
        per_device_train_batch_size=N,
    )
    ours = gradient_of(trainer, "".join(x * c for x, c in zip(LETTERS, COUNTS, strict=True)))
    rewards, log_q = reference_of(reference_dir)
    log_p = log_probs(trainer.model, trainer.processing_class)
    totals = rewards - (log_p - log_q).detach()
    centred = totals - (P * totals).sum()
    # Leaving a sample out of its baseline stretches its advantage; replay has no such sample.
    stretch = torch.tensor([N / (N - 1) if x not in "df" else 1.0 for x in LETTERS])
    trainer.model.zero_grad()
    (P * stretch * centred * log_p).sum().backward()
    exact = flat_gradient(trainer.model)
    torch.testing.assert_close(ours, exact, rtol=1e-3, atol=1e-5)
    logged = trainer._metrics["train"]
    assert logged["replay/size"] == [2.0]
    share = (COUNTS[3] + COUNTS[5]) / N
    assert logged["replay/frac_sampled"] == [pytest.approx(share)]
    assert logged["replay/mass"] == [pytest.approx(share, rel=1e-3)]


def test_an_unsampled_completion_still_has_a_gradient(reference_dir, tmp_path):
    """Two `b`s alone teach nothing; with `f` kept they do."""
    plain = {"method": "plain"}
    assert gradient_of(replaying(reference_dir, tmp_path, **plain), "bb").norm() < 1e-6
    assert gradient_of(replaying(reference_dir, tmp_path, "f", **plain), "bb").norm() > 1e-3


def test_good_completions_are_kept_and_their_probability_is_followed(reference_dir, tmp_path):
    trainer = replaying(reference_dir, tmp_path, replay_size=2, method="plain")
    trainer._generate_single_turn = lambda *_: [
        [token, EOS] for token in trainer.processing_class("ab")["input_ids"]
    ]
    batch_gradient(trainer)
    (kept,) = trainer._replay._kept[prompt_key(PROMPT)]  # `b` is not good
    assert kept.completion.ids == (*trainer.processing_class("a")["input_ids"], EOS)
    assert kept.completion.prompt_ids == tuple(trainer.processing_class(PROMPT)["input_ids"])
    assert (kept.reward, kept.mode) == (1.0, None)
    assert kept.log_p == pytest.approx(P[0].log().item(), abs=1e-3)
    assert kept.log_q == pytest.approx(torch.tensor(0.03).log().item(), abs=1e-3)
    trainer._replay._kept[prompt_key(PROMPT)] = [kept._replace(log_p=-99.0)]
    trainer._step = 0
    batch_gradient(trainer)
    (kept,) = trainer._replay._kept[prompt_key(PROMPT)]
    assert kept.log_p == pytest.approx(P[0].log().item(), abs=1e-3)


def some(log_p, mode, output):
    return Kept(Completion((1,), (2,)), 1.0, -1.0, log_p, output, mode)


def test_the_rarest_modes_are_kept_each_by_its_likeliest_completion():
    found = [
        some(-1.0, "common", "A"),
        some(-9.0, "common", "B"),  # rarer than `rare`, but its mode is common
        some(-5.0, "rare", "C"),
        some(-7.0, "rare", "D"),
        some(-3.0, "middle", "E"),
    ]
    assert [kept.output for kept in rarest(found, 2)] == ["C", "E"]
    assert [kept.output for kept in rarest(found, 9)] == ["C", "E", "A"]


@given(
    st.lists(
        st.tuples(st.floats(-30, 0), st.sampled_from("xyz"), st.sampled_from("ABCDEF")),
        unique_by=(lambda row: row[0], lambda row: row[2]),
    ),
    st.integers(1, 4),
)
def test_what_is_kept_does_not_depend_on_the_order_of_ranks(rows, size):
    found = [some(*row) for row in rows]
    kept = rarest(found, size)
    assert kept == rarest(found[::-1], size)
    assert len(kept) == min(size, len({row[1] for row in rows}))
    assert len({each.mode for each in kept}) == len(kept)


@pytest.mark.parametrize("modes", [None, last_letter], ids=["outputs", "modes"])
def test_a_resumed_run_ends_like_an_uninterrupted_one(modes, tiny_model, tmp_path):
    settings = {
        "max_steps": 4,
        "save_strategy": "steps",
        "save_steps": 2,
        "replay_size": 3,
        "anchor_truncated": True,  # untrained, the tiny model hardly ever ends a completion
        "trainer_kwargs": {"mode_fn": modes},
    }
    whole = make_trainer("rloo", tiny_model, tmp_path, **settings)
    whole.train()
    saved = json.loads((tmp_path / "checkpoint-2" / "polymode_memory.json").read_text())
    assert saved["replay"]
    resumed = make_trainer("rloo", tiny_model, tmp_path, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    ours, theirs = resumed.memory()["replay"], whole.memory()["replay"]
    assert {p: [row[4] for row in ours[p]] for p in ours} == {
        p: [row[4] for row in theirs[p]] for p in theirs
    }
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_memory_survives_json(reference_dir, tmp_path):
    trainer = replaying(reference_dir, tmp_path, "df")
    kept = trainer._replay._kept
    memory = json.loads(json.dumps(trainer.memory()))
    trainer._replay._kept = {}
    trainer.load_memory(memory)
    assert trainer._replay._kept == kept


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("rloo", {"replay_size": -1}, "replay_size must be an integer >= 1, got -1"),
        ("grpo", {}, "replay_size must be 0 with GRPO"),
        ("rloo", {"method": "unlikeliness"}, "method must be plain or anchored with replay_size"),
        ("rloo", {"method": "plain", "threshold": None}, "threshold must be set with replay_size"),
        ("rloo", {"num_iterations": 2}, "num_iterations must be 1 with replay_size, got 2"),
        (
            "rloo",
            {"steps_per_generation": 2},
            "steps_per_generation must not exceed gradient_accumulation_steps",
        ),
        (
            "rloo",
            {
                "gradient_checkpointing": True,
                "gradient_checkpointing_kwargs": {"use_reentrant": True},
            },
            "gradient_checkpointing_kwargs['use_reentrant'] must be False",
        ),
    ],
)
def test_settings_without_meaning_are_refused(kind, changes, message, tmp_path):
    (problem,) = refusal(tmp_path, kind, **{"replay_size": 4, **changes})
    assert message in problem
