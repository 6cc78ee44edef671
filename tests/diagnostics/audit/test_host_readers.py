"""From settings of the frameworks but TRL to objectives: what each option decides."""

import math

import pytest

from polymode.diagnostics.audit import audit_config
from polymode.diagnostics.audit.frameworks import FRAMEWORKS, REMEDIES
from polymode.diagnostics.audit.frameworks.framework import class_in
from polymode.diagnostics.audit.frameworks.tables import bundled_options, options_of, release
from polymode.diagnostics.audit.reading import read_settings
from polymode.errors import ConfigError

HOSTS = ("verl", "openrlhf", "nemo_rl", "skyrl", "slime")
A, R = "actor_rollout_ref.actor.", "actor_rollout_ref.rollout."
S, G = "trainer.algorithm.", "generator."
RATES = (0.1, 0.5, 0.9)

# Options in their framework, the field of the objective that they decide, and what it becomes.
DECIDES = {
    "verl": [
        ({"algorithm.adv_estimator": "rloo", f"{R}n": 8}, "baseline", "leave_one_out"),
        ({"algorithm.adv_estimator": "remax"}, "baseline", "greedy"),
        ({"algorithm.adv_estimator": "grpo"}, "baseline", "none"),  # one completion per prompt
        ({"algorithm.adv_estimator": "grpo", f"{R}n": 8}, "scale", "group_std"),
        (
            {"algorithm.adv_estimator": "grpo", f"{R}n": 8,
             "algorithm.norm_adv_by_std_in_grpo": False}, "scale", "none",
        ),
        ({f"{A}use_kl_loss": True}, "kl_placement", "loss"),
        ({f"{A}use_kl_loss": True}, "beta", 0.001),
        ({f"{A}use_kl_loss": True, f"{A}kl_loss_coef": 0.2}, "beta", 0.2),
        ({f"{A}use_kl_loss": True, f"{A}kl_loss_type": "mse"}, "kl_estimator", "k2"),
        ({f"{A}use_kl_loss": True, f"{A}kl_loss_type": "k1+"}, "kl_estimator", "k3_plus"),
        ({f"{A}use_kl_loss": True}, "kl_clip", 10.0),
        ({"algorithm.use_kl_in_reward": True}, "kl_level", "sequence"),
        (
            {"algorithm.use_kl_in_reward": True, "algorithm.kl_ctrl.kl_coef": 0.3}, "beta", 0.3,
        ),
        (
            {"algorithm.use_kl_in_reward": True, "algorithm.kl_ctrl.type": "adaptive"},
            "beta_adaptive", True,
        ),
        ({f"{A}loss_agg_mode": "seq-mean-token-mean"}, "aggregation", "per_sequence"),
        ({f"{A}loss_agg_mode": "seq-mean-token-mean"}, "kl_aggregation", "per_sequence"),
        ({f"{A}policy_loss.loss_mode": "gspo"}, "ratio_level", "sequence"),
        ({f"{A}policy_loss.loss_mode": "sapo"}, "aggregation", "per_sequence"),
        ({f"{A}policy_loss.loss_mode": "sapo"}, "ratio_weight", "sapo"),
        ({}, "ratio_weight", "dual_clip"),
        ({f"{A}policy_loss.loss_mode": "gpg"}, "clip_low", None),
        ({f"{A}clip_ratio_high": 0.28}, "clip_high", 0.28),
        ({}, "n_updates", 4.0),
        ({f"{A}ppo_epochs": 2}, "n_updates", 8.0),
        ({"data.train_batch_size": 256}, "n_updates", 1.0),
        ({"trainer.v1.trainer_mode": "separate_async"}, "asynchronous", True),
        ({"algorithm.filter_groups.enable": True}, "drops", ("zero_variance",)),
        ({f"{A}entropy_coeff": 0.01}, "entropy_coef", 0.01),
        ({f"{A}optim.weight_decay": 0.2}, "weight_decay", 0.2),
        ({f"{R}temperature": 0.7}, "temperature", 0.7),
        ({f"{R}top_p": 0.9, f"{R}top_k": 20}, "truncated_sampling", {"top_p": 0.9, "top_k": 20.0}),
        ({f"{R}n": 5}, "group_size", 5),
        ({f"{R}name": "vllm"}, "sampler_engine", "vllm"),
        ({"algorithm.rollout_correction.rollout_is": "token"}, "sampler_correction", "truncated"),
        ({"algorithm.rollout_correction.rollout_rs": "seq"}, "sampler_correction", "masked"),
        (
            {"algorithm.adv_estimator": "gdpo", f"{R}n": 4},
            "reward_transformations", ("each_standardised",),
        ),
    ],
    "openrlhf": [
        ({"algo.advantage.estimator": "rloo"}, "baseline", "leave_one_out"),
        ({"algo.advantage.estimator": "group_norm"}, "scale", "group_std"),
        ({"algo.advantage.estimator": "gae"}, "scale", "batch_std"),
        ({"algo.advantage.no_std_norm": True}, "scale", "none"),
        ({}, "kl_placement", "reward"),
        ({}, "beta", 0.01),
        ({"algo.kl.init_coef": 0}, "kl_placement", "none"),
        ({"algo.kl.use_loss": True}, "kl_placement", "loss"),
        ({"algo.kl.use_loss": True, "algo.kl.estimator": "k3"}, "kl_estimator", "k3"),
        ({"algo.kl.use_loss": True, "algo.kl.unbiased_gradient": True}, "kl_estimator", "k3_plus"),
        ({"algo.kl.target": 0.1}, "beta_adaptive", True),
        ({}, "reward_clip", (-10.0, 10.0)),
        ({"reward.clip_range": [-1, 1]}, "reward_clip", (-1.0, 1.0)),
        ({"reward.overlong_buffer_len": 100}, "reward_transformations",
         ("overlong_penalty", "clipped")),
        ({"reward.normalize_enable": True}, "reward_transformations", ("whitened", "clipped")),
        ({"actor.loss_agg_mode": "seq-mean-token-mean"}, "aggregation", "per_sequence"),
        ({"actor.policy_loss_type": "gspo"}, "ratio_level", "sequence"),
        ({"actor.policy_loss_type": "gspo"}, "aggregation", "per_sequence"),
        ({"actor.policy_loss_type": "gspo"}, "kl_aggregation", "constant"),
        ({"actor.eps_clip_low_high": [0.2, 0.3]}, "clip_high", 0.3),
        ({"train.batch_size": 1024}, "n_updates", 1.0),
        ({"train.max_epochs": 2}, "n_updates", 16.0),
        ({"train.async_enable": True}, "asynchronous", True),
        ({"actor.entropy_coef": 0.01}, "entropy_coef", 0.01),
        ({"actor.aux_loss_coef": 0.01}, "extra_terms", ("router_aux_loss",)),
        ({"algo.dynamic_filtering_enable": True}, "drops", ("zero_variance",)),
        ({"rollout.temperature": 0.6}, "temperature", 0.6),
        ({"rollout.top_p": 0.9}, "truncated_sampling", {"top_p": 0.9}),
        ({"algo.advantage.is_correction_level": "seq"}, "sampler_correction", "masked"),
    ],
    "nemo_rl": [
        ({}, "baseline", "leave_one_out"),
        ({"grpo.use_leave_one_out_baseline": False}, "baseline", "group_mean"),
        ({}, "scale_of_others", True),
        ({"grpo.normalize_rewards": False}, "scale", "none"),
        ({}, "kl_ratio", "token"),
        ({"loss_fn.reference_policy_kl_penalty": 0}, "reference", "none"),
        ({"loss_fn.reference_policy_kl_type": "k1"}, "kl_estimator", "k1"),
        ({"loss_fn.kl_output_clamp_value": None}, "kl_clip", None),
        ({"loss_fn.use_kl_in_reward": True}, "kl_placement", "none"),
        ({"loss_fn.token_level_loss": False}, "aggregation", "per_sequence"),
        ({"loss_fn.sequence_level_importance_ratios": True}, "ratio_level", "sequence"),
        ({"loss_fn.ratio_clip_max": 0.28}, "clip_high", 0.28),
        ({"loss_fn.force_on_policy_ratio": True}, "clip_low", None),
        ({"grpo.use_dynamic_sampling": True}, "drops", ("zero_variance",)),
        ({"grpo.overlong_filtering": True}, "drops", ("truncated",)),
        ({"grpo.async_grpo.enabled": True}, "asynchronous", True),
        ({"policy.train_global_batch_size": 128}, "n_updates", 4.0),
        ({"policy.generation.temperature": 0.5}, "temperature", 0.5),
        ({"policy.generation.top_k": 50}, "truncated_sampling", {"top_k": 50.0}),
        (
            {"grpo.reward_scaling.enabled": True, "grpo.reward_scaling.target_min": -1.0},
            "reward_weight", 2.0,
        ),
        ({"grpo.reward_shaping.enabled": True}, "reward_transformations", ("overlong_penalty",)),
        ({"loss_fn.positive_example_nll_weight": 0.1}, "extra_terms", ("supervised",)),
        ({"loss_fn.truncated_importance_sampling_type": "tis"}, "sampler_correction", "truncated"),
        ({"policy.optimizer.kwargs.weight_decay": 0.3}, "weight_decay", 0.3),
    ],
    "skyrl": [
        ({}, "kl_estimator", "k3"),
        ({}, "kl_aggregation", "per_sequence"),
        ({f"{S}use_kl_loss": False}, "kl_placement", "none"),
        ({f"{S}use_kl_loss": False, f"{S}use_kl_in_reward": True}, "kl_placement", "reward"),
        ({f"{S}kl_loss_coef": 0.05}, "beta", 0.05),
        ({f"{S}advantage_estimator": "rloo"}, "baseline", "leave_one_out"),
        ({f"{S}grpo_norm_by_std": False}, "scale", "none"),
        (
            {f"{S}grpo_norm_by_std": False, f"{S}advantage_batch_normalize": True},
            "scale", "batch_std",
        ),
        ({f"{S}loss_reduction": "sequence_mean"}, "aggregation", "per_sequence"),
        ({f"{S}policy_loss_type": "gspo"}, "ratio_level", "sequence"),
        ({f"{S}policy_loss_type": "sapo"}, "clip_low", None),
        ({f"{S}policy_loss_type": "sapo"}, "ratio_weight", "sapo"),
        ({f"{S}eps_clip_high": 0.28}, "clip_high", 0.28),
        ({f"{S}use_entropy_loss": True}, "entropy_coef", 0.01),
        ({f"{S}dynamic_sampling.type": "filter"}, "drops", ("zero_variance",)),
        ({f"{S}zero_variance_filter": True}, "drops", ("zero_variance",)),
        ({f"{G}apply_overlong_filtering": True}, "drops", ("truncated",)),
        ({f"{G}n_samples_per_prompt": 16}, "group_size", 16),
        ({f"{G}sampling_params.min_p": 0.1}, "truncated_sampling", {"min_p": 0.1}),
        (
            {f"{G}sampling_params.temperature": 0.7, f"{S}temperature": 1.0},
            "temperature_in_loss", False,
        ),
        ({"trainer.update_ref_every_epoch": True}, "reference", "moving"),
        ({"trainer.policy_mini_batch_size": 1024}, "n_updates", 1.0),
        ({"trainer.fully_async.enabled": True}, "asynchronous", True),
        ({f"{S}off_policy_correction.tis_ratio_type": "token"}, "sampler_correction", "truncated"),
        ({"trainer.policy.optimizer_config.weight_decay": 0.5}, "weight_decay", 0.5),
    ],
    "slime": [
        ({}, "kl_placement", "none"),
        ({"use-kl-loss": True, "kl-loss-coef": 0.1}, "beta", 0.1),
        ({"use-kl-loss": True, "kl-loss-coef": 0.1}, "kl_estimator", "k1"),
        ({"use-kl-loss": True, "kl-loss-type": "low_var_kl"}, "kl_clip", 10.0),
        ({"use-kl-loss": True, "use-unbiased-kl": True}, "kl_ratio", "token"),
        ({"kl-coef": 0.1}, "kl_placement", "none"),
        ({"kl-coef": 0.1, "advantage-estimator": "reinforce_plus_plus"}, "kl_level", "sequence"),
        ({"n-samples-per-prompt": 8}, "scale", "group_std"),
        ({"disable-grpo-std-normalization": True}, "scale", "none"),
        ({"disable-rewards-normalization": True}, "baseline", "none"),
        ({"normalize-advantages": True, "disable-grpo-std-normalization": True}, "scale",
         "batch_std"),
        ({}, "aggregation", "per_sequence"),
        ({"calculate-per-token-loss": True}, "aggregation", "constant"),
        ({"advantage-estimator": "gspo"}, "ratio_level", "sequence"),
        ({"eps-clip-high": 0.28}, "clip_high", 0.28),
        ({"ref-update-interval": 10}, "reference", "moving"),
        ({"ref-update-interval": 10}, "reference_every", 10),
        ({"num-steps-per-rollout": 4}, "n_updates", 4.0),
        (
            {"rollout-batch-size": 32, "n-samples-per-prompt": 8, "global-batch-size": 64},
            "n_updates", 4.0,
        ),
        ({"rollout-temperature": 0.8}, "temperature", 0.8),
        ({"rollout-top-p": 0.9}, "truncated_sampling", {"top_p": 0.9}),
        ({"use-opsm": True}, "drops", ("off_policy",)),
        ({"dynamic-sampling-filter-path": "x.check_reward_nonzero_std"}, "drops",
         ("zero_variance",)),
        ({"use-tis": True}, "sampler_correction", "truncated"),
        ({"weight-decay": 0.1}, "weight_decay", 0.1),
        ({"use-opd": True}, "extra_terms", ("distillation",)),
        ({"entropy-coef": 0.01}, "entropy_coef", 0.01),
    ],
}  # fmt: skip
CASES = [(name, *case) for name, cases in DECIDES.items() for case in cases]


def read(name, options, version=None):
    return audit_config(options, framework=name, version=version).objective


@pytest.mark.parametrize(("name", "options", "field", "expected"), CASES)
def test_what_an_option_decides(name, options, field, expected):
    objective = read(name, options)
    assert getattr(objective, field) == expected
    given = {s.key for settings in objective.sources.values() for s in settings if s.given}
    assert set(options) <= given or not options  # it is noted as what decided something


@pytest.mark.parametrize("name", HOSTS)
def test_every_option_that_decides_something_is_said_to_bear_on_the_run(name):
    framework = FRAMEWORKS[name]
    for options in [case[0] for case in DECIDES[name]]:
        settings = framework.normalise(read_settings(options))
        fields = framework.fields(settings)
        decided = read(name, options).sources.values()
        keys = {s.key for found in decided for s in found} - {"defaults"}
        assert not {key for key in keys if class_in(fields, key) not in ("target", "path")}


@pytest.mark.parametrize("name", HOSTS)
def test_every_option_of_the_bundled_table_has_a_class(name):
    framework = FRAMEWORKS[name]
    fields = framework.fields(read_settings({"x": 1}))
    assert all(class_in(fields, key) for key in bundled_options(name).defaults)
    assert {"target", "path", "irrelevant"} == set(fields.values())


@pytest.mark.parametrize("name", HOSTS)
def test_remedies_are_known_by_name_and_set_options_that_exist(name):
    framework = FRAMEWORKS[name]
    for options in [case[0] for case in DECIDES[name]]:
        settings = audit_config(options, framework=name).settings
        fields = framework.fields(settings)
        for remedy, fix in framework.remedies(settings).items():
            assert remedy in REMEDIES
            assert fix.text.endswith(".")
            assert all(class_in(fields, key) for key in fix.changes)


def remedied(name, options, remedy):
    """The objective after the changes of a remedy."""
    settings = audit_config(options, framework=name).settings
    changes = FRAMEWORKS[name].remedies(settings)[remedy].changes
    return read(name, {**options, **changes})


@pytest.mark.parametrize("name", ["verl", "openrlhf", "skyrl", "slime"])
def test_the_remedy_for_the_kl_gives_that_of_sequences(name):
    start = {
        "verl": {"algorithm.adv_estimator": "rloo", f"{A}use_kl_loss": True, f"{R}n": 8},
        "openrlhf": {"algo.kl.use_loss": True, "algo.advantage.estimator": "rloo"},
        "skyrl": {f"{S}advantage_estimator": "rloo"},
        "slime": {"use-kl-loss": True, "kl-loss-coef": 0.1, "n-samples-per-prompt": 8},
    }[name]
    objective = remedied(name, start, "kl_in_reward")
    assert (objective.divergence, objective.level) == ("reverse_kl", "sequence")
    assert objective.beta > 0
    assert all(objective.beta_eff(rate, 8) == objective.beta for rate in RATES)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (
            "verl",
            {
                "algorithm.adv_estimator": "gdpo",
                "algorithm.use_kl_in_reward": True,
                f"{R}n": 8,
            },
        ),
        ("nemo_rl", {"loss_fn.use_kl_in_reward": True}),
        ("slime", {"kl-coef": 0.1, "n-samples-per-prompt": 8}),
    ],
)
def test_a_kl_that_is_never_read_is_an_error_with_a_remedy(name, options):
    found = {f.code: f for f in audit_config(options, framework=name).findings}
    assert found["PM110"].severity == "error"
    objective = read(name, {**options, **found["PM110"].fix.changes})
    assert (objective.divergence, objective.lost_beta) == ("reverse_kl", 0.0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("verl", {f"{A}use_kl_loss": True}),
        ("openrlhf", {"algo.kl.use_loss": True, "algo.kl.estimator": "k3"}),
        ("nemo_rl", {"loss_fn.reference_policy_kl_type": "k2"}),
        ("skyrl", {}),
        ("slime", {"use-kl-loss": True, "kl-loss-coef": 0.1}),
    ],
)
def test_the_remedy_for_the_kl_in_the_loss_gives_the_reverse_kl(name, options):
    assert read(name, options).divergence != "reverse_kl"
    assert remedied(name, options, "reverse_kl_in_loss").divergence == "reverse_kl"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("verl", {"algorithm.adv_estimator": "grpo", f"{R}n": 8, f"{A}use_kl_loss": True}),
        ("openrlhf", {"algo.advantage.estimator": "group_norm"}),
        ("nemo_rl", {}),
        ("skyrl", {}),
        ("slime", {"n-samples-per-prompt": 8}),
    ],
)
def test_the_remedy_for_the_scale_leaves_none(name, options):
    assert read(name, options).scale == "group_std"
    assert remedied(name, options, "no_scale").scale == "none"


# What is particular to a framework.


def test_names_of_openrlhf_before_options_were_grouped():
    old = ["python", "-m", "openrlhf.cli.train_ppo_ray", "--init_kl_coef", "1e-4", "--use_kl_loss",
           "--kl_estimator", "k2", "--advantage_estimator", "group_norm",
           "--n_samples_per_prompt", "8"]  # fmt: skip
    objective = audit_config(old).objective
    assert (objective.beta, objective.kl_placement, objective.scale) == (1e-4, "loss", "group_std")
    assert objective.kl_estimator == "k2"


def test_flags_of_slime_and_those_that_megatron_owns():
    words = ["python3", "train.py", "--advantage-estimator", "grpo", "--rollout-batch-size", "32",
             "--n-samples-per-prompt", "8", "--use-kl-loss", "--kl-loss-coef", "0.01",
             "--tensor-model-parallel-size", "2", "--swiglu"]  # fmt: skip
    audit = audit_config(words)
    assert audit.objective.beta == 0.01
    assert not [f for f in audit.findings if "swiglu" in str(f.settings)]
    with pytest.raises(ConfigError, match="did you mean 'kl-loss-coef'"):
        audit_config([*words, "--kl-loss-coeff", "0.1"])
    with pytest.raises(ConfigError, match="kl-coef and kl-loss-coef must not both"):
        audit_config([*words, "--kl-coef", "0.1"])


def test_skyrl_refuses_two_kls():
    with pytest.raises(ConfigError, match="must not both be on"):
        read("skyrl", {f"{S}use_kl_in_reward": True})


def test_verl_runs_with_two_kls_and_the_audit_says_so():
    objective = read("verl", {"algorithm.use_kl_in_reward": True, f"{A}use_kl_loss": True})
    assert objective.kl_placement == "reward"
    assert objective.extra_terms == ("kl_in_loss",)
    assert any("left out" in remark for remark in objective.remarks)


def test_gspo_of_verl_averages_within_completions_but_for_one_release():
    options = {f"{A}policy_loss.loss_mode": "gspo"}
    found = {v: read("verl", options, v).aggregation for v in ("0.8.0", "0.9.1", "0.10.0")}
    assert found == {"0.8.0": "per_sequence", "0.9.1": "constant", "0.10.0": "per_sequence"}


def test_strengths_that_depend_on_the_batch_are_not_told():
    options = {"algorithm.adv_estimator": "gpg", f"{R}n": 8, f"{A}use_kl_loss": True}
    assert math.isnan(read("verl", options).beta_eff(0.5))


def test_the_deviation_of_the_others_in_nemo_rl():
    # Three completions, success rate 1/2: of the other two, one is good with probability 1/2, then
    # their deviation is sqrt(1/2); else it is 0, and nothing is divided.
    objective = read("nemo_rl", {"grpo.num_generations_per_prompt": 3})
    gap = 0.5 / (math.sqrt(0.5) + 1e-6) + 0.5
    assert objective.reward_gap(0.5) == pytest.approx(gap, rel=1e-9)


def test_interpolations_lead_to_where_the_value_was_set(tmp_path):
    path = tmp_path / "grpo.yaml"
    path.write_text("loss_fn: {ratio_clip_min: 0.2}\ngrpo:\n  normalize_rewards: false\n")
    objective = audit_config(str(path)).objective
    assert objective.scale == "none"
    (setting,) = [s for s in objective.sources["scale"] if s.key.endswith("normalize_rewards")]
    assert str(setting.source).endswith("grpo.yaml:3")


def test_what_only_the_framework_can_work_out_is_remarked():
    objective = read("verl", {f"{A}kl_loss_coef": "${mul:2,${x}}", f"{A}use_kl_loss": True})
    assert any("only verl itself can work out" in remark for remark in objective.remarks)


def test_recipes_of_nemo_rl_inherit(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "grpo.yaml").write_text(
        "grpo: {num_generations_per_prompt: 4}\nloss_fn: {reference_policy_kl_penalty: 0.5}\n"
    )
    child = tmp_path / "recipe.yaml"
    child.write_text(
        "defaults: base/grpo.yaml\npolicy: {model_name: x}\n"
        "loss_fn: {reference_policy_kl_type: k1}\n"
    )
    objective = audit_config(str(child)).objective
    assert (objective.beta, objective.group_size, objective.kl_estimator) == (0.5, 4, "k1")
    child.write_text("defaults: gone.yaml\nloss_fn: {reference_policy_kl_type: k1}\n")
    assert any("is not there" in r for r in audit_config(str(child)).objective.remarks)
    child.write_text("defaults: recipe.yaml\nloss_fn: {reference_policy_kl_penalty: 0.5}\n")
    assert audit_config(str(child)).objective.beta == 0.5  # itself: given up after a few rounds


def test_arrays_of_a_script_are_unfolded(tmp_path):
    path = tmp_path / "run.sh"
    path.write_text(
        "n=${N:-8}\nDATA=(\n    algorithm.adv_estimator=grpo\n    # a comment\n"
        "    actor_rollout_ref.rollout.n=${n}\n)\nACTOR=(\n"
        "    actor_rollout_ref.actor.use_kl_loss=True  # here\n)\n"
        'ALL=("${DATA[@]}" "${ACTOR[@]}")\nALL+=(+some.new.key=1)\n'
        'python3 -m verl.trainer.main_ppo \\\n    "${ALL[@]}" \\\n    "$@"\n'
    )
    audit = audit_config(str(path))
    assert (audit.objective.group_size, audit.objective.kl_placement) == (8, "loss")
    (setting,) = audit.objective.sources["group_size"]
    assert setting.source.line == 5


@pytest.mark.parametrize("name", HOSTS)
def test_defaults_say_whose_they_are(name):
    newest = FRAMEWORKS[name].newest
    options, whose = options_of(name, "Title", version="0.0.1", file="")
    assert whose == f"Title {newest} (bundled; not 0.0.1)"
    assert options.defaults
    assert options_of(name, "Title", version=newest, file="no/such.py")[1] == f"Title {newest}"


def test_releases_compare_by_number():
    assert release("0.10.0") > release("0.9.1") > release("0.9")
    assert release("1.2.0.dev3") == (1, 2, 0)


def test_the_installed_package_comes_first(tmp_path, monkeypatch):
    package = tmp_path / "skyrl"
    (package / "train" / "config").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "train" / "config" / "config.py").write_text(
        "@dataclass\nclass AlgorithmConfig:\n    kl_loss_coef: float = 0.7\n"
        "@dataclass\nclass TrainerConfig:\n"
        "    algorithm: AlgorithmConfig = field(default_factory=AlgorithmConfig)\n"
        "@dataclass\nclass SkyRLTrainConfig:\n"
        "    trainer: TrainerConfig = field(default_factory=TrainerConfig)\n"
    )
    info = tmp_path / "skyrl-9.9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: skyrl\nVersion: 9.9.9\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    file = "train/config/config.py"
    options, whose = options_of("skyrl", "SkyRL", version="9.9.9", file=file)
    assert options.defaults == {"trainer.algorithm.kl_loss_coef": 0.7}
    assert whose == "SkyRL 9.9.9"
