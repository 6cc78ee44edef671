"""A language model whose completions can be counted: six letters, then the end.

The head of the tiny model is solved for, so that after the prompt the letters have exactly the
probabilities that are asked for, and everything else practically none. A batch that holds every
completion as often as its probability says has, divided by its size, the expected gradient.
"""

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOTrainer

EOS = 1
PROMPT = "pick: "
LETTERS = "abcdef"
COUNTS = (12, 9, 5, 3, 2, 1)  # of 32: the policy
REFERENCE = (0.03, 0.05, 0.12, 0.25, 0.25, 0.30)
REWARDS = dict(zip(LETTERS, (1.0, 0.0, 1.0, 1.2, 0.3, 1.0), strict=True))


def reward(completions, **_):
    return [REWARDS[text] for text in completions]


def make_enumerable(model, tokenizer, probabilities):
    """Change the head of a model in place; the weights below it stay."""
    letters = tokenizer(LETTERS)["input_ids"]
    wanted = torch.full((1 + len(letters), model.config.vocab_size), -40.0, dtype=torch.float64)
    wanted[0, letters] = torch.tensor(probabilities, dtype=torch.float64).log()
    wanted[1:, EOS] = 0.0
    solve_head(model, tokenizer, [[], *([letter] for letter in letters)], wanted)


def solve_head(model, tokenizer, contexts, wanted):
    """Change the head in place, so that logits after the prompt and each context are these."""
    states = states_of(model, tokenizer, contexts)
    with torch.no_grad():
        model.lm_head.weight.copy_(torch.linalg.lstsq(states, wanted)[0].T)


def states_of(model, tokenizer, contexts):
    """Last hidden state after the prompt and each context, (n, d)."""
    prompt = tokenizer(PROMPT)["input_ids"]
    with torch.no_grad():
        states = [
            model.model(input_ids=torch.tensor([[*prompt, *context]])).last_hidden_state[0, -1]
            for context in contexts
        ]
    return torch.stack(states).double()


def save_reference(source, directory):
    """Write the reference, from which trainers start, and which TRL loads again."""
    model = AutoModelForCausalLM.from_pretrained(source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    make_enumerable(model, tokenizer, REFERENCE)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


def log_probs(model, tokenizer):
    """Log-probability of every completion, with gradient."""
    prompt = tokenizer(PROMPT)["input_ids"]
    letters = tokenizer(LETTERS)["input_ids"]
    ids = torch.tensor([[*prompt, letter, EOS] for letter in letters])
    logits = model(input_ids=ids).logits[:, len(prompt) - 1 : -1].double().log_softmax(-1)
    return logits.gather(-1, ids[:, len(prompt) :, None])[..., 0].sum(1)


def prescribed_trainer(trainer_class, config, directory, **kwargs):
    """Build a trainer at the policy, whose only batch holds every completion `COUNTS` times."""
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
    letters = tokenizer(LETTERS)["input_ids"]
    batch = [[x, EOS] for x, count in zip(letters, COUNTS, strict=True) for _ in range(count)]

    def _generate_single_turn(*_):
        return (batch, None) if isinstance(trainer, GRPOTrainer) else batch

    trainer._generate_single_turn = _generate_single_turn
    return trainer


def batch_gradient(trainer):
    """Flat gradient of the objective, which TRL's loss is the negative of."""
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    inputs = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, inputs).backward()
    return -flat_gradient(trainer.model)


def flat_gradient(model):
    return torch.cat([p.grad.flatten().double() for p in model.parameters()])
