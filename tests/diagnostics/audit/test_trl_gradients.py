"""What the audit claims of TRL is what TRL's own losses do, on a frozen batch of a tiny model.

The cases are those of `TRL_EXECUTED`, which decide what the audit calls tested by running it.
"""

import random
from dataclasses import replace
from itertools import combinations, product

import pytest

torch = pytest.importorskip("torch")
trl = pytest.importorskip("trl")

# ruff: noqa: E402
from polymode.diagnostics.audit import audit_config
from polymode.diagnostics.audit.frameworks.trl_executed import TRL_EXECUTED
from polymode.diagnostics.audit.frameworks.trl_fields import fields_of
from tests.diagnostics.audit.claimed import claimed_gradient, cosine, token_weights
from tests.diagnostics.audit.frozen import length_reward, make_trainer, real_gradient, reward

EQUAL, OTHER = 0.9999, 0.999

CASES = {
    f"{kind}-{'-'.join(map(str, case.values()))}": (kind, part, case)
    for kind, table in TRL_EXECUTED.items()
    for part, cases in table.parts.items()
    for case in cases
}


def crossed():
    """Cases of all options at once: every pair of values, and some that are drawn."""
    for kind, table in TRL_EXECUTED.items():
        values = {key: [*dict.fromkeys(c[key] for c in table.crossed)] for key in table.crossed[0]}
        rng = random.Random(f"{kind} 0")
        drawn = [{key: rng.choice(of) for key, of in values.items()} for _ in range(6)]
        for case in (*table.crossed, *drawn):
            yield "-".join(map(str, (kind, *case.values()))), (kind, case)


CROSSED = dict(crossed())
# Beside the table: a number that enters as one, elsewhere.
NUMBERS = {
    "cispo-5": ("grpo", {"loss_type": "cispo", "epsilon_high": 5.0, "scale_rewards": "batch"}),
    "cold": ("grpo", {"temperature": 0.7, "use_bias_correction_kl": False}),
}


def run(kind, model, out, *, rewards=(reward,), **changes):
    """The real gradient, with the batch, the trainer, and what the audit says of its config."""
    trainer = make_trainer(kind, model, out, rewards=rewards, **{"beta": 0.3, **changes})
    gradient, batch = real_gradient(trainer)
    return gradient, batch, trainer, audit_config(trainer.args).objective


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_the_claimed_one_and_no_other(name, tiny_model, tmp_path):
    kind, part, case = CASES[name]
    two = {"rewards": (reward, length_reward)} if part == "rewards" else {}
    gradient, batch, trainer, objective = run(kind, tiny_model, tmp_path, **two, **case)
    assert (objective.evidence, objective.not_executed) == ("executed", ())
    compare(gradient, batch, trainer, objective)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_enter_as_claimed(name, tiny_model, tmp_path):
    kind, changes = NUMBERS[name]
    compare(*run(kind, tiny_model, tmp_path, **changes))


@pytest.mark.parametrize("name", CROSSED)
def test_options_of_different_parts_do_not_meddle(name, tiny_model, tmp_path):
    kind, case = CROSSED[name]
    two = (reward, length_reward) if kind == "grpo" else (reward,)
    gradient, batch, trainer, objective = run(kind, tiny_model, tmp_path, rewards=two, **case)
    if case in TRL_EXECUTED[kind].crossed:
        assert (objective.evidence, objective.not_executed) == ("executed", ())
    assert cosine(gradient, claimed(objective, batch, trainer)) >= EQUAL


@pytest.mark.parametrize("kind", TRL_EXECUTED)
def test_every_pair_of_values_of_different_options_is_run(kind):
    table = TRL_EXECUTED[kind]
    options = {key for cases in table.parts.values() for key in cases[0]}
    assert options <= set(table.crossed[0])
    values = {key: {case[key] for case in table.crossed} for key in table.crossed[0]}
    for one, other in combinations(values, 2):
        met = {(case[one], case[other]) for case in table.crossed}
        assert met == set(product(values[one], values[other])), (one, other)
    for cases in table.parts.values():  # all values of the parts, up to numbers
        for key in cases[0]:
            assert {case[key] for case in cases} == values[key]


@pytest.mark.parametrize("kind", TRL_EXECUTED)
def test_weights_decay_by_what_the_audit_says(kind, tiny_model, tmp_path):
    """Without any gradient one step of TRL's own optimiser takes lr * decay of each matrix."""
    trainer = make_trainer(kind, tiny_model, tmp_path, beta=0.1, weight_decay=0.2)
    optimizer, objective = trainer.create_optimizer(), audit_config(trainer.args).objective
    assert (objective.evidence, objective.weight_decay) == ("executed", 0.2)
    weight = trainer.model.lm_head.weight
    for parameter in trainer.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = weight.detach().clone()
    optimizer.step()
    rate = optimizer.param_groups[0]["lr"]
    assert rate > 0
    torch.testing.assert_close(weight.detach(), before * (1 - rate * objective.weight_decay))


def compare(gradient, batch, trainer, objective):
    """Equal where the audit claims it, unequal where it claims something else."""
    assert cosine(gradient, claimed(objective, batch, trainer)) >= EQUAL
    for field, value in others(objective).items():
        other = replace(objective, **value)
        assert cosine(gradient, claimed(other, batch, trainer)) < OTHER, field


def claimed(objective, batch, trainer):
    """The claimed gradient; a bonus is added, and tokens that are dropped are masked."""
    kept = None
    if {"low_entropy", "low_entropy_share"} & set(objective.drops):
        kept = trainer.get_high_entropy_mask(
            entropies(trainer.model, batch).detach(), batch.mask, 1 - trainer.top_entropy_quantile
        )
        assert 0 < kept.sum() < batch.mask.sum()
    share = kept
    if "low_entropy_share" in objective.drops:
        share = batch.mask * (kept.sum(1, keepdim=True) / batch.mask.sum(1, keepdim=True))
    found = claimed_gradient(objective, batch, trainer.model, share)
    if objective.entropy_coef:
        trainer.model.zero_grad()
        assert objective.entropy_aggregation == "constant"
        acts = batch.mask if kept is None else kept
        bonus = (entropies(trainer.model, batch) * acts).sum() / acts.sum()
        (objective.entropy_coef * bonus).backward()
        own = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
        weights = token_weights(objective.aggregation, batch.mask).sum()
        found = found / weights + own * bonus_weight(trainer, objective, batch)
    return found


def bonus_weight(trainer, objective, batch):
    """What the bonus weighs beside the rest, a mean over tokens: 1, or what a remark says."""
    divisor = {"dr_grpo": trainer.max_completion_length, "luspo": 1}.get(trainer.loss_type)
    assert (divisor is not None) == any("mean over tokens" in r for r in objective.remarks)
    return 1.0 if divisor is None else divisor / batch.mask.sum(1).mean()


def entropies(model, batch):
    ids = torch.cat([batch.prompt_ids, batch.completion_ids], 1)
    seen = torch.cat([batch.prompt_mask, batch.mask.long()], 1)
    n = batch.completion_ids.shape[1]
    logits = model(input_ids=ids, attention_mask=seen).logits[:, -n - 1 : -1]
    log_p = (logits / batch.temperature).log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def others(objective):
    """Objectives that the audit tells from this one: each has another gradient on this batch."""
    own = {
        "aggregation": {"aggregation": "per_sequence", "kl_aggregation": "per_sequence"},
        "scale": {"scale": "group_std" if objective.scale == "none" else "none"},
    }
    if objective.aggregation == "per_sequence":
        own["aggregation"] = {"aggregation": "constant", "kl_aggregation": "constant"}
    if objective.kl_placement == "loss":
        own["beta"] = {"beta": 2 * objective.beta}
        own["none"] = {"kl_placement": "none"}
        own["k1"] = {"kl_estimator": "k1", "kl_ratio": "none"}
        own["divergence"] = {"kl_ratio": "none" if objective.kl_ratio != "none" else "token"}
        own["sequence"] = {
            "kl_placement": "reward",
            "kl_in_advantage": True,
            "kl_level": "sequence",
        }
        if objective.kl_ratio != "none":
            level = "token" if objective.kl_ratio == "sequence" else "sequence"
            own["ratio"] = {"kl_ratio": level}
    if objective.kl_placement == "reward":
        own["token"] = {"kl_placement": "loss", "kl_estimator": "k2"}
        own["none"] = {"kl_placement": "none"}
    if objective.reward_weight != 1 and objective.kl_placement == "loss":
        own["weight"] = {"reward_weight": 1.0}
    if objective.reward_clip is not None:
        own["clip"] = {"reward_clip": None}
    if objective.kl_in_advantage and objective.scale == "batch_std":
        own.pop("scale")  # a factor for the whole batch
    if objective.beta == 0 and objective.scale == "batch_std":
        own.pop("scale", None)
    if "each_standardised" in objective.reward_transformations:
        own["scale"] = {"reward_transformations": ()}
    return own


def test_only_what_is_run_is_called_executed():
    """Any option beside the cases of the table, alone, takes the word away."""
    for kind, table in TRL_EXECUTED.items():
        clean = {"beta": 0.1, "num_generations": 8}
        named = f"trl:{kind}"
        plain = audit_config(clean, framework=named, version=table.release).objective
        assert (plain.evidence, plain.not_executed) == ("executed", ())
        for version in ("1.15.0", "1.9.2"):
            old = audit_config(clean, framework=named, version=version).objective
            assert old.evidence == "read"
        beside = {"sync_ref_model": True, "mask_truncated_completions": True, "top_p": 0.9}
        for key, value in beside.items():
            found = audit_config({**clean, key: value}, framework=named, version=table.release)
            assert found.objective.evidence == "partly"
            assert found.objective.not_executed == (f"{key}={value}",)
    both = {"beta": 0.1, "loss_type": "cispo", "entropy_coef": 0.1}
    found = audit_config(both, framework="trl:grpo", version=table.release).objective
    assert found.evidence == "read"
    assert {"loss_type=cispo", "entropy_coef=0.1"} <= set(found.not_executed)


@pytest.mark.parametrize("kind", TRL_EXECUTED)
def test_every_option_that_bears_on_the_target_is_run_or_said_not_to_be(kind):
    table = TRL_EXECUTED[kind]
    target = {k for k, c in fields_of(kind, script=False).items() if c == "target"}
    in_parts = {key for cases in table.parts.values() for key in cases[0]}
    assert target <= in_parts | set(table.plain) | set(table.free)
    assert not set(table.plain) & (in_parts | set(table.free))


def test_the_release_that_is_run_is_the_installed_one():
    """Where another one is installed, its claims are called read until this table moves on."""
    installed = audit_config({"beta": 0.1, "loss_type": "dapo"}).objective
    same = all(trl.__version__ == table.release for table in TRL_EXECUTED.values())
    assert (installed.evidence == "executed") == same
