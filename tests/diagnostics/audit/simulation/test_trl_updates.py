"""The expected update of the toy is the gradient of TRL's own losses, on all groups at once.

The batch holds every group of completions as often as its probability says, so that TRL's gradient
on it is the expected one. The tree has completions of one, two and three tokens; for several
updates the policy is moved after the batch was drawn, so that ratios leave the clip.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")
trl = pytest.importorskip("trl")

# ruff: noqa: E402
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.diagnostics.audit import audit_config
from polymode.diagnostics.audit.simulation import Toy
from polymode.diagnostics.audit.simulation.groups import list_groups
from polymode.diagnostics.audit.simulation.update import draw, expected_gradient
from tests.diagnostics.audit.claimed import cosine
from tests.language.enumerable import EOS, PROMPT, solve_head, states_of

NAMES = ("aa", "ab", "b", "")
REWARDS = dict(zip(NAMES, (0.0, 1.0, 1.0, 0.0), strict=True))
SLOTS = ("aa", "aa", "aa", "ab", "b", "b", "", "")  # of 8: the policy that draws
GONE = 1e-12  # the table has a column for each of a, b and the end
EQUAL, OTHER = 0.999999, 0.9999


def table(first, second):
    return np.log([first, [*second, GONE]])


POLICY = table([0.5, 0.25, 0.25], [0.75, 0.25])
REFERENCE = table([0.3, 0.5, 0.2], [0.4, 0.6])
MOVED = table([0.4, 0.25, 0.35], [0.65, 0.35])
TREE = Toy(
    REFERENCE,
    np.array([[[0, 0], [1, 0]], [[0, 0], [1, 1]], [[0, 1], [-1, -1]], [[0, 2], [-1, -1]]]),
    np.array([*REWARDS.values()]),
    np.array([3.0, 3.0, 2.0, 1.0]),
    NAMES,
)

GRPO = {"num_generations": 2, "beta": 0.3}
CASES = {
    "grpo": ("grpo", GRPO),
    "dapo-plain": ("grpo", GRPO | {"scale_rewards": "none"}),
    "per-sequence": ("grpo", GRPO | {"loss_type": "grpo"}),
    "forward": ("grpo", GRPO | {"use_bias_correction_kl": False, "loss_type": "grpo"}),
    "sequence-ratio": ("grpo", GRPO | {"importance_sampling_level": "sequence"}),
    "no-kl": ("grpo", GRPO | {"beta": 0.0, "loss_type": "grpo"}),
    "rloo": ("rloo", GRPO),
    "whitened": ("rloo", GRPO | {"normalize_advantages": True}),
}
SEVERAL = {
    "clip": ("grpo", GRPO | {"epsilon": 0.1}),
    "forward": ("grpo", GRPO | {"epsilon": 0.1, "use_bias_correction_kl": False}),
    "uneven": ("grpo", GRPO | {"epsilon": 0.1, "epsilon_high": 0.3, "loss_type": "grpo"}),
    "gspo": ("grpo", GRPO | {"epsilon": 0.05, "importance_sampling_level": "sequence"}),
    "cispo": ("grpo", GRPO | {"epsilon_high": 1.1, "loss_type": "cispo"}),
    "rloo": ("rloo", GRPO | {"epsilon": 0.1}),
}


@pytest.fixture(scope="module")
def reference(tiny_model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tree")
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    write(model, tokenizer, REFERENCE)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


def write(model, tokenizer, log_p):
    """Make a model write the tree with these conditionals."""
    a, b = tokenizer("ab")["input_ids"]
    wanted = torch.full((5, model.config.vocab_size), -40.0, dtype=torch.float64)
    wanted[0, [a, b, EOS]] = torch.tensor(log_p[0])
    wanted[1, [a, b]] = torch.tensor(log_p[1, :2])
    wanted[2:, EOS] = 0.0
    solve_head(model, tokenizer, contexts(tokenizer), wanted)


def contexts(tokenizer):
    a, b = tokenizer("ab")["input_ids"]
    return [[], [a], [b], [a, a], [a, b]]


def reward(completions, **_):
    return [REWARDS[text] for text in completions]


def make_trainer(kind, changes, directory, out):
    """Build one of TRL's trainers, whose only batch holds all groups of two."""
    trainer_class, config_class = {
        "grpo": (trl.GRPOTrainer, trl.GRPOConfig),
        "rloo": (trl.RLOOTrainer, trl.RLOOConfig),
    }[kind]
    tokenizer = AutoTokenizer.from_pretrained(directory)
    texts = [text for group in product(SLOTS, SLOTS) for text in group]
    batch = [[*(tokenizer(text)["input_ids"] if text else []), EOS] for text in texts]
    shared = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none"}
    config = config_class(
        output_dir=str(out),
        **shared,
        per_device_train_batch_size=len(batch),
        max_completion_length=4,
        **changes,
    )
    trainer = trainer_class(
        model=AutoModelForCausalLM.from_pretrained(directory),
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": [PROMPT] * len(batch)}),
        processing_class=tokenizer,
    )
    trainer._generate_single_turn = lambda *_: (batch, None) if kind == "grpo" else batch
    write(trainer.model, tokenizer, POLICY)
    return trainer


def real_update(trainer, *, moved=False):
    """What TRL's loss pushes the logits by, at the policy that drew the batch or after it.

    The gradient of the head is a sum over contexts of this push times the state there; states are
    independent of each other, so that it can be solved for.
    """
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    inputs = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    if moved:
        write(trainer.model, trainer.processing_class, MOVED)
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, inputs).backward()
    states = states_of(trainer.model, trainer.processing_class, contexts(trainer.processing_class))
    push = torch.linalg.lstsq(states.T, -trainer.model.lm_head.weight.grad.double().T)[0]
    a, b = trainer.processing_class("ab")["input_ids"]
    return torch.cat([push[0, [a, b, EOS]], push[1, [a, b]]])


def toy_update(objective, *, moved=False):
    """The same of the toy: the expected weights of ``grad log p``, in logits."""
    listing = list_groups(objective, TREE, TREE.rewards)
    batch = draw(objective, TREE, POLICY, REFERENCE, TREE.rewards, listing)
    now = MOVED if moved else POLICY
    weights, frac_clipped = expected_gradient(objective, TREE, batch, now)
    push = torch.tensor(weights - np.exp(now) * weights.sum(1, keepdims=True))
    return torch.cat([push[0], push[1, :2]]), frac_clipped


@pytest.mark.parametrize("name", CASES)
def test_one_update(name, reference, tmp_path):
    kind, changes = CASES[name]
    trainer = make_trainer(kind, changes, reference, tmp_path)
    real = real_update(trainer)
    objective = audit_config(trainer.args).objective
    assert cosine(real, toy_update(objective)[0]) > EQUAL
    for other in others(objective):
        assert cosine(real, toy_update(replace(objective, **other))[0]) < OTHER, other


def others(objective):
    """Objectives with another expected update."""
    if objective.beta:
        yield {"beta": 2 * objective.beta}
    if objective.kl_placement == "loss":
        yield {"scale": "group_std" if objective.scale == "none" else "none"}
        yield {"baseline": "leave_one_out"}
    tilted = "constant" if objective.aggregation == "per_sequence" else "per_sequence"
    yield {"aggregation": tilted, "kl_aggregation": tilted}


@pytest.mark.parametrize("name", SEVERAL)
def test_an_update_after_others(name, reference, tmp_path):
    kind, changes = SEVERAL[name]
    trainer = make_trainer(kind, changes | {"num_iterations": 2}, reference, tmp_path)
    real = real_update(trainer, moved=True)
    objective = audit_config(trainer.args).objective
    found, frac_clipped = toy_update(objective, moved=True)
    assert frac_clipped > 0.02
    assert cosine(real, found) > EQUAL
    for other in ({"n_updates": 1.0}, {"ratio_level": "product" if kind == "grpo" else "token"}):
        elsewhere = toy_update(replace(objective, **other), moved=True)[0]
        assert cosine(real, elsewhere) < OTHER, other
