"""A classifier as a reward: the logit that a single pass gives, whatever the batch."""

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

from polymode.errors import InputError
from polymode.language.rewards.model import ModelReward
from tests.language.tiny import save_tiny_model


def save_classifier(directory, **changes):
    """A tiny classifier over the tiny model's vocabulary."""
    save_tiny_model(directory)
    config = LlamaConfig.from_pretrained(directory, **{"num_labels": 1, **changes})
    torch.manual_seed(1)
    LlamaForSequenceClassification(config).save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="module")
def one_logit(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("judge"), max_position_embeddings=40)


@pytest.fixture(scope="module")
def three_logits(tmp_path_factory):
    labels = {0: "bad", 1: "so-so", 2: "good"}
    return save_classifier(
        tmp_path_factory.mktemp("judge3"),
        num_labels=3,
        id2label=labels,
        label2id={name: i for i, name in labels.items()},
    )


def logits(path, ids):
    """One text in a pass of its own."""
    model = LlamaForSequenceClassification.from_pretrained(path).eval()
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].tolist()


PROMPTS = ["say: ", "a much longer one ", "x"]
COMPLETIONS = ["yes", "no", "perhaps not"]


def test_plain_texts_score_as_each_alone(one_logit):
    tokenizer = AutoTokenizer.from_pretrained(one_logit)
    expected = [
        logits(one_logit, tokenizer(p + c)["input_ids"])[0]
        for p, c in zip(PROMPTS, COMPLETIONS, strict=True)
    ]
    assert len(set(expected)) == 3
    for batch_size in (1, 2, 16):
        reward = ModelReward(one_logit, batch_size=batch_size)
        assert reward(PROMPTS, COMPLETIONS, answer=["?"] * 3) == pytest.approx(expected, rel=1e-4)


def test_conversations_go_through_the_chat_template(one_logit):
    prompts = [[{"role": "user", "content": p}] for p in PROMPTS]
    completions = [[{"role": "assistant", "content": c}] for c in COMPLETIONS]
    texts = [f"u:{p}\na:{c}\n" for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]
    reward = ModelReward(one_logit)
    assert reward(prompts, completions) == pytest.approx(reward([""] * 3, texts), rel=1e-5)


def test_long_texts_lose_their_beginning(one_logit):
    reward = ModelReward(one_logit)
    long, short = reward(["b" * 60 + "a" * 30], ["c" * 10]), reward(["a" * 30], ["c" * 10])
    assert long == pytest.approx(short, rel=1e-5)  # 40 positions, one character each


@pytest.mark.parametrize(("label", "position"), [("#good", 2), ("#0", 0), ("#so-so", 1)])
def test_label_chooses_the_logit(label, position, three_logits):
    ids = AutoTokenizer.from_pretrained(three_logits)("ab")["input_ids"]
    expected = logits(three_logits, ids)[position]
    assert ModelReward(three_logits + label)(["a"], ["b"]) == pytest.approx([expected], rel=1e-4)


def test_which_logit_must_be_clear(one_logit, three_logits):
    with pytest.raises(
        InputError, match=r"has 3 logits \(bad, so-so, good\): choose one as model:"
    ):
        ModelReward(three_logits)
    with pytest.raises(InputError, match="#LABEL, got '7'"):
        ModelReward(three_logits + "#7")
    with pytest.raises(InputError, match=r"has 1 logits .*got 'nice'"):
        ModelReward(one_logit + "#nice")


def test_a_model_that_cannot_be_had_is_told_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"^model must be a directory, a hub id"):
        ModelReward(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"^reward model 'no/such' cannot be loaded: .+") as caught:
        ModelReward("no/such")
    assert "\n" not in str(caught.value)


def test_no_gradient_and_a_short_name(one_logit):
    reward = ModelReward(one_logit)
    assert reward.__name__ == one_logit.rpartition("/")[2]
    assert not reward.model.training
    (score,) = reward(["a"], ["b"])
    assert isinstance(score, float)
