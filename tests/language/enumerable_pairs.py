"""The enumerable model with two letters before the end: prefixes, on which token-local KLs turn."""

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOTrainer

from tests.language.enumerable import EOS, PROMPT, solve_head

LETTERS = "abc"
PAIRS = [x + y for x in LETTERS for y in LETTERS]
COUNTS = (6, 3, 3, 1, 5, 2, 4, 4, 4)  # of 32: the policy, in the order of PAIRS
REFERENCE = (0.02, 0.02, 0.06, 0.30, 0.05, 0.15, 0.10, 0.25, 0.05)
REWARDS = dict(zip(PAIRS, (1.0, 0.0, 0.4, 0.0, 1.2, 0.0, 0.3, 0.0, 1.0), strict=True))


def reward(completions, **_):
    return [REWARDS[text] for text in completions]


def conditionals(joint):
    """Logits of the first letter, and of the second after each first, of a joint distribution."""
    table = torch.tensor(joint, dtype=torch.float64).reshape(len(LETTERS), len(LETTERS))
    first = table.sum(1)
    return first.log(), (table / first[:, None]).log()


def make_enumerable(model, tokenizer, joint):
    """Solve for the head of a model, so that it writes pairs this often, and then ends."""
    letters = tokenizer(LETTERS)["input_ids"]
    first, second = conditionals(joint)
    contexts = [[], *([x] for x in letters), *([x, y] for x in letters for y in letters)]
    wanted = torch.full((len(contexts), model.config.vocab_size), -40.0, dtype=torch.float64)
    wanted[0, letters] = first
    wanted[1 : 1 + len(letters), letters] = second
    wanted[1 + len(letters) :, EOS] = 0.0
    solve_head(model, tokenizer, contexts, wanted)


def save_reference(source, directory):
    """Write the reference, from which trainers start, and which TRL loads again."""
    model, tokenizer = (
        kind.from_pretrained(source) for kind in (AutoModelForCausalLM, AutoTokenizer)
    )
    make_enumerable(model, tokenizer, REFERENCE)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


def token_log_probs(model, tokenizer):
    """Log-probabilities of the letters with gradient: the first's, shape (3,), and (3, 3)."""
    prompt, letters = tokenizer(PROMPT)["input_ids"], tokenizer(LETTERS)["input_ids"]
    ids = torch.tensor([[*prompt, x] for x in letters])
    logits = model(input_ids=ids).logits.double().log_softmax(-1)[..., letters]
    return logits[0, len(prompt) - 1], logits[:, len(prompt)]


def prescribed_trainer(trainer_class, config, directory, **kwargs):
    """Build a trainer at the policy, whose only batch holds every pair `COUNTS` times."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    trainer = trainer_class(
        model=AutoModelForCausalLM.from_pretrained(directory),
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": [PROMPT] * 4}),
        processing_class=tokenizer,
        **kwargs,
    )
    policy = [count / sum(COUNTS) for count in COUNTS]
    make_enumerable(trainer.accelerator.unwrap_model(trainer.model), tokenizer, policy)
    batch = [
        [*tokenizer(pair)["input_ids"], EOS]
        for pair, count in zip(PAIRS, COUNTS, strict=True)
        for _ in range(count)
    ]

    def _generate_single_turn(*_):
        return (batch, None) if isinstance(trainer, GRPOTrainer) else batch

    trainer._generate_single_turn = _generate_single_turn
    return trainer
