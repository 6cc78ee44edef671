"""What each option of TRL's GRPO and RLOO can change: the target, only the path to it, or nothing.

*Target*: where the run ends, the distribution that its stationary point stands for. *Path*: how it
gets there, how fast, at what precision or cost. *Irrelevant*: what is logged, saved or evaluated.
"""

from collections.abc import Mapping
from types import MappingProxyType

from polymode.diagnostics.audit.frameworks.framework import FieldClass
from polymode.diagnostics.audit.frameworks.trl_releases import Kind

__all__ = ["SHAPING", "fields_of"]


def _classes(**texts: str) -> dict[str, FieldClass]:
    """Return the class of each option that a text lists."""
    named: dict[str, FieldClass] = {"target": "target", "path": "path", "irrelevant": "irrelevant"}
    return {key: named[name] for name, text in texts.items() for key in text.split()}


_TARGET = """
beta chat_template_kwargs generation_kwargs mask_truncated_completions max_completion_length min_p
model_init_kwargs neftune_noise_alpha num_generations ref_model_mixup_alpha ref_model_sync_steps
repetition_penalty reward_weights router_aux_loss_coef sync_ref_model temperature top_k top_p
vllm_structured_outputs_regex weight_decay
"""
_GRPO_TARGET = """
entropy_coef entropy_coef_delta entropy_coef_max entropy_coef_min entropy_target
importance_sampling_level loss_type max_tool_calling_iterations multi_objective_aggregation
off_policy_mask_threshold scale_rewards top_entropy_quantile use_adaptive_entropy
use_bias_correction_kl vllm_importance_sampling_cap vllm_importance_sampling_clip_max
vllm_importance_sampling_clip_min vllm_importance_sampling_correction vllm_importance_sampling_mode
"""
_RLOO_TARGET = "reward_clip_range"

_PATH = """
activation_checkpointing activation_checkpointing_kwargs adam_beta1 adam_beta2 adam_epsilon
auto_find_batch_size average_tokens_across_devices bf16 cache_implementation data_seed
dataloader_drop_last dataloader_in_order dataloader_multiprocessing_context dataloader_num_workers
dataloader_persistent_workers dataloader_pin_memory dataloader_prefetch_factor ddp_backend
ddp_broadcast_buffers ddp_bucket_cap_mb ddp_find_unused_parameters ddp_static_graph ddp_timeout
deepspeed disable_dropout ds3_gather_for_generation epsilon epsilon_high fp16 fsdp fsdp_config
full_determinism generation_batch_size gradient_accumulation_steps gradient_checkpointing
gradient_checkpointing_kwargs ignore_data_skip learning_rate liger_kernel_config
load_best_model_at_end local_rank lr_scheduler_kwargs lr_scheduler_type max_grad_norm max_steps
num_iterations num_train_epochs optim optim_args optim_target_modules pad_to_multiple_of
parallelism_config per_device_train_batch_size resume_from_checkpoint seed shuffle_dataset
steps_per_generation tf32 torch_compile torch_compile_backend torch_compile_mode
torch_empty_cache_steps train_sampling_strategy transformers_continuous_batching_config use_cache
use_cpu use_liger_kernel use_transformers_continuous_batching use_transformers_paged use_vllm
vllm_enable_sleep_mode vllm_gpu_memory_utilization vllm_max_model_length vllm_mode vllm_model_impl
vllm_tensor_parallel_size warmup_steps
"""
_GRPO_PATH = """
cast_lm_head_to_fp32 delta sapo_temperature_neg sapo_temperature_pos vespo_k_neg vespo_k_pos
vespo_lambda_neg vespo_lambda_pos
"""
_RLOO_PATH = "normalize_advantages"

_IRRELEVANT = """
accelerator_config batch_eval_metrics bf16_full_eval debug disable_tqdm do_eval do_predict do_train
enable_jit_checkpoint eval_accumulation_steps eval_delay eval_do_concat_batches eval_on_start
eval_steps eval_strategy eval_use_gather_object fp16_full_eval greater_is_better hub_always_push
hub_model_id hub_private_repo hub_revision hub_strategy hub_token include_for_metrics
include_num_input_tokens_seen label_names label_smoothing_factor length_column_name log_completions
log_level log_level_replica log_multimodal log_on_each_node log_unique_prompts logging_first_step
logging_nan_inf_filter logging_steps logging_strategy metric_for_best_model num_completions_to_print
num_generations_eval output_dir per_device_eval_batch_size prediction_loss_only project push_to_hub
remove_unused_columns report_to restore_callback_states_from_checkpoint run_name save_on_each_node
save_only_model save_steps save_strategy save_total_limit skip_memory_metrics trackio_bucket_id
trackio_space_id trackio_static_space_id trust_remote_code vllm_group_port vllm_server_base_url
vllm_server_host vllm_server_port vllm_server_timeout
"""
_GRPO_IRRELEVANT = "log_completions_hub_repo"

_SCRIPT = _classes(
    target="""
    datasets dataset_name dataset_config dataset_train_split model_name_or_path model_revision
    reward_funcs reward_model_name_or_path
    """,
    path="""
    attn_implementation bnb_4bit_quant_storage bnb_4bit_quant_type dtype load_in_4bit load_in_8bit
    lora_alpha lora_dropout lora_modules_to_save lora_r lora_target_modules lora_target_parameters
    lora_task_type num_machines num_processes streaming torch_dtype use_bnb_nested_quant use_dora
    use_peft use_rslora
    """,
    irrelevant="""
    accelerate_config config dataset_streaming dataset_test_split env ignore_bias_buffers
    test_split_size
    """,
)
"""Arguments of `trl grpo` and `trl rloo` beside those of the trainer's config."""

SHAPING = _classes(
    target="""
    anchor_choice anchor_strength anchor_truncated carry_anchors dph_batch dph_divergence dph_eta
    dph_perfect forward_kl_samples length log_ratio_clip max_bonus method method_options regulariser
    replay_size stored_responses threshold threshold_over threshold_percentile
    """
)
"""Options that polymode's own trainers add to TRL's."""


_BOTH = _classes(target=_TARGET, path=_PATH, irrelevant=_IRRELEVANT)
_OWN: Mapping[Kind, dict[str, FieldClass]] = {
    "grpo": _classes(target=_GRPO_TARGET, path=_GRPO_PATH, irrelevant=_GRPO_IRRELEVANT),
    "rloo": _classes(target=_RLOO_TARGET, path=_RLOO_PATH),
}


def fields_of(kind: Kind, *, script: bool = True) -> Mapping[str, FieldClass]:
    """Return what each option can change.

    Parameters
    ----------
    kind : {"grpo", "rloo"}
        Which trainer.
    script : bool
        Whether those of the scripts, and those that polymode adds, are in it too.

    Returns
    -------
    mapping of str to str
        Options to "target", "path" or "irrelevant".
    """
    own: dict[str, FieldClass] = {**_BOTH, **_OWN[kind]}
    if not script:
        return MappingProxyType(own)
    deeper: dict[str, FieldClass] = {f"{k}.*": own.get(k, "irrelevant") for k in _mappings(own)}
    return MappingProxyType({**SHAPING, **_SCRIPT, **own, **deeper})


def _mappings(own: Mapping[str, FieldClass]) -> tuple[str, ...]:
    """Return the options that take mappings."""
    kwargs = (key for key in own if key.endswith(("_kwargs", "_config")))
    return ("env", *kwargs)
