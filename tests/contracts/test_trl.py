"""The parts of TRL and transformers that we lean on: a failure here means that they moved."""

import inspect

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
trl = pytest.importorskip("trl")

TRAINERS = (trl.GRPOTrainer, trl.RLOOTrainer)
PINNED = {
    "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    "_get_per_token_logps_and_entropies": [
        "self",
        "model",
        "input_ids",
        "attention_mask",
        "logits_to_keep",
    ],
    "_compute_loss": ["self", "model", "inputs"],
    "_generate_and_score_completions": ["self", "inputs"],
}
READ = (
    "beta",
    "eos_token_ids",
    "num_generations",
    "num_generations_eval",
    "ref_model",
    "reward_func_names",
    "reward_funcs",
    "reward_processing_classes",
    "reward_weights",
    "temperature",
    "_metrics",
)


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("name", PINNED)
def test_signature_that_we_override(trainer, name):
    parameters = list(inspect.signature(getattr(trainer, name)).parameters)
    assert parameters[: len(PINNED[name])] == PINNED[name]


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("name", READ)
def test_attribute_that_we_read(trainer, name):
    assert f"self.{name} = " in inspect.getsource(trainer)  # `accelerator` is transformers' own


def test_rloo_hands_over_what_is_kept_and_replayed():
    """Completions are kept from these tensors, and the advantages of replayed samples set to 0."""
    source = inspect.getsource(trl.RLOOTrainer._generate_and_score_completions)
    output = source[source.rindex("output = {") :]
    for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages"):
        assert f'"{name}": {name}' in output


def test_grpo_divides_by_the_micro_batches_of_a_step_and_rloo_does_not():
    """What terms add to the loss has to be divided alike."""
    for trainer, divides in ((trl.GRPOTrainer, True), (trl.RLOOTrainer, False)):
        source = inspect.getsource(trainer._compute_loss)
        assert ("self.current_gradient_accumulation_steps" in source) == divides


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_reference_is_scored_before_the_rewards(trainer):
    source = inspect.getsource(trainer._generate_and_score_completions)
    assert source.index("self.ref_model,") < source.index("self._calculate_rewards(")


@pytest.mark.parametrize("trainer", TRAINERS)
def test_an_epoch_has_an_order_of_its_own_from_one_generator(trainer):
    sampler = trl.trainer.utils.RepeatSampler(range(9), 1, seed=3)
    orders = [list(sampler), list(sampler)]
    assert orders[0] != orders[1]  # hence a resumed run has to draw those of the epochs before
    assert isinstance(sampler.generator, torch.Generator)
    source = inspect.getsource(trainer._get_train_sampler)
    assert "return RepeatSampler(" in source


def test_the_state_is_the_last_file_of_a_checkpoint():
    source = inspect.getsource(transformers.Trainer._save_checkpoint)
    state = source.index("self.state.save_to_json(")
    for earlier in ("self.save_model(", "self._save_optimizer_and_scheduler(", "_save_rng_state("):
        assert source.index(earlier) < state
    assert state < source.index("rotate_checkpoints(")


def test_grpo_reads_advantages_after_the_log_probabilities():
    source = inspect.getsource(trl.GRPOTrainer._compute_loss)
    assert source.index("_get_per_token_logps_and_entropies(") < source.index("coef_1 * advantages")


def test_grpo_keeps_its_kl_term_behind_beta():
    """We switch TRL's own KL off by setting beta to 0 in the loss: its use must ask beta first."""
    source = inspect.getsource(trl.GRPOTrainer._compute_loss)
    assert source.count("self.beta * per_token_kl") == 1
    guard = source.rindex("if self.beta != 0.0:", 0, source.index("self.beta * per_token_kl"))
    assert source[guard : source.index("self.beta * per_token_kl")].count("\n") == 1


def test_grpo_weighs_its_kl_by_the_ratio_on_request():
    """What `TokenKLConfig` names reverse and forward KL is TRL's switch; gradients are tested."""
    assert trl.GRPOConfig.__dataclass_fields__["use_bias_correction_kl"].default is True
    source = inspect.getsource(trl.GRPOTrainer._compute_loss)
    assert "if self.args.use_bias_correction_kl:" in source


def test_both_configs_have_the_settings_that_we_refuse():
    shared = (
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "generation_kwargs",
        "sync_ref_model",
    )
    for config in (trl.GRPOConfig, trl.RLOOConfig):
        assert set(shared) | {"mask_truncated_completions"} <= set(config.__dataclass_fields__)
    grpo = {"scale_rewards", "loss_type", "multi_objective_aggregation", "entropy_coef"}
    assert grpo <= set(trl.GRPOConfig.__dataclass_fields__)
    assert {"reward_clip_range", "normalize_advantages"} <= set(trl.RLOOConfig.__dataclass_fields__)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_reward_functions_are_called_and_may_log_as_the_guard_expects(trainer):
    """With the two logging functions as columns; what returns None is kept as NaN."""
    source = inspect.getsource(trainer._calculate_rewards)
    assert 'reward_kwargs["log_metric"] = self._log_metric' in source
    assert 'reward_kwargs["log_extra"] = self._log_completion_extra' in source
    assert "reward if reward is not None else torch.nan" in source
    assert list(inspect.signature(trainer._log_metric).parameters) == ["self", "name", "value"]
