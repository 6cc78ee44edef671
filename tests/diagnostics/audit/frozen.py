"""TRL's trainers on a frozen batch: completions of several lengths, a policy off the reference."""

from copy import deepcopy
from dataclasses import dataclass
from functools import cache

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from tests.language.runs import EOS, options, prescribe_samples

TRAINERS = {"grpo": (GRPOTrainer, GRPOConfig), "rloo": (RLOOTrainer, RLOOConfig)}
PROMPTS = ("roll: ", "pick one: ", "a ")
_OURS = ("threshold", "beta")
_NOISE = 0.05


def reward(prompts, completions, **_):
    """Differ between completions and between prompts, in level and in spread."""
    return [
        (0.5 + 0.5 * PROMPTS.index(prompt)) * (text[-1:].isdigit() + 0.1 * len(text))
        for prompt, text in zip(prompts, completions, strict=True)
    ]


def length_reward(completions, **_):
    return [0.3 * len(text) for text in completions]


@cache
def _loaded(model_dir):
    """Load model and tokenizer once."""
    model = AutoModelForCausalLM.from_pretrained(model_dir)
    return model, AutoTokenizer.from_pretrained(model_dir)


def make_trainer(kind, model_dir, out, *, rewards=(reward,), **changes):
    """Build one of TRL's trainers, its policy moved off the reference."""
    trainer_class, config_class = TRAINERS[kind]
    fields = config_class.__dataclass_fields__
    settings = {k: v for k, v in options(out).items() if k in fields and k not in _OURS}
    trainer = trainer_class(
        model=deepcopy(_loaded(model_dir)[0]),
        reward_funcs=list(rewards),
        args=config_class(**{**settings, **changes}),
        train_dataset=Dataset.from_dict({"prompt": list(PROMPTS) * 4}),
        processing_class=_loaded(model_dir)[1],
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter += _NOISE * parameter.std() * torch.randn_like(parameter)
    return prescribe_samples(trainer)


@dataclass
class Batch:
    """What a claim may look at: tokens, rewards (one column for each function), groups."""

    prompt_ids: torch.Tensor
    prompt_mask: torch.Tensor
    completion_ids: torch.Tensor
    mask: torch.Tensor
    rewards: torch.Tensor
    groups: torch.Tensor
    temperature: float
    log_ratios: torch.Tensor | None = None

    def log_probs(self, model):
        """Log-probabilities of completion tokens, (B, T), with gradient; 0 where masked."""
        ids = torch.cat([self.prompt_ids, self.completion_ids], 1)
        seen = torch.cat([self.prompt_mask, self.mask.long()], 1)
        n = self.completion_ids.shape[1]
        logits = model(input_ids=ids, attention_mask=seen).logits[:, -n - 1 : -1]
        log_p = (logits / self.temperature).log_softmax(-1)
        return log_p.gather(-1, self.completion_ids[..., None])[..., 0] * self.mask


def real_gradient(trainer):
    """Flat gradient of the objective, which TRL's loss is the negative of, and the batch."""
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    inputs = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, inputs).backward()
    gradient = -torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
    return gradient, _batch(trainer, inputs)


def _batch(trainer, inputs):
    decode = trainer.processing_class.batch_decode
    prompts = decode(inputs["prompt_ids"], skip_special_tokens=True)
    texts = decode(inputs["completion_ids"], skip_special_tokens=True)
    columns = [f(prompts=prompts, completions=texts) for f in trainer.reward_funcs]
    batch = Batch(
        inputs["prompt_ids"],
        inputs["prompt_mask"],
        inputs["completion_ids"],
        inputs["completion_mask"].float(),
        torch.tensor(columns).T,
        torch.tensor([PROMPTS.index(prompt) for prompt in prompts]),
        trainer.temperature,
    )
    assert (batch.completion_ids == EOS).any()
    assert len(batch.mask.sum(1).unique()) > 1
    if trainer.ref_model is not None:
        with torch.no_grad():
            log_p, log_q = batch.log_probs(trainer.model), batch.log_probs(trainer.ref_model)
            batch.log_ratios = log_p - log_q
    return batch
