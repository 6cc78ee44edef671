"""Every code: a file that has it, one that has not, a remedy that mends it, and a page about it.

The files are configurations of real frameworks, and go through `polymode.audit` alone.
"""

import re
from pathlib import Path

import pytest
import yaml

import polymode as pm
from polymode.diagnostics.audit import audit_config
from polymode.diagnostics.audit.findings import SEVERITIES
from polymode.diagnostics.audit.rules import RULES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "audit-findings.md"
VERSION = "1.16.0"

# A clean run: KL of whole outputs in the reward, large groups, nothing else.
RLOO = {"beta": 0.05, "num_generations": 16, "normalize_advantages": False}
GRPO = {"beta": 0.05, "num_generations": 16, "loss_type": "dr_grpo", "scale_rewards": "none"}
VLLM = {"use_vllm": True, "vllm_importance_sampling_mode": "token_truncate"}

# Code: settings of TRL that have the finding, settings that have not (release last, if not 1.16.0).
CONFIGS = {
    "PM101": (GRPO | {"beta": 0.0}, GRPO),
    "PM103": (GRPO | {"use_bias_correction_kl": False}, GRPO),
    "PM104": (GRPO, RLOO),
    "PM106": (GRPO | {"importance_sampling_level": "sequence"}, GRPO),
    "PM109": (RLOO | {"beta": 0.001}, RLOO),
    "PM201": (GRPO | {"scale_rewards": "group"}, GRPO),
    "PM202": (GRPO | {"scale_rewards": "batch"}, GRPO),
    "PM203": (RLOO | {"normalize_advantages": True}, RLOO),
    "PM204": (GRPO, RLOO),
    "PM205": (RLOO | {"reward_clip_range": [-1, 1]}, RLOO),
    "PM206": (GRPO | {"multi_objective_aggregation": "normalize_then_sum"}, GRPO),
    "PM207": (GRPO | {"loss_type": "cispo"}, GRPO | {"loss_type": "cispo", "epsilon_high": 5.0}),
    "PM301": (GRPO | {"loss_type": "grpo"}, GRPO),
    "PM303": (GRPO | {"loss_type": "luspo"}, GRPO | {"loss_type": "dapo"}, "1.9.2"),
    "PM304": (
        GRPO | {"importance_sampling_level": "sequence", "num_iterations": 2},
        GRPO | {"num_iterations": 2},
    ),
    "PM401": (RLOO | {"generation_kwargs": {"top_p": 0.9}}, RLOO | {"top_p": 1.0}),
    "PM402": (RLOO | {"temperature": 0.7}, RLOO),
    "PM403": (RLOO | {"generation_kwargs": {"temperature": 0.7}, "temperature": 0.9}, RLOO),
    "PM404": (GRPO | {"steps_per_generation": 4}, GRPO),
    "PM405": (GRPO | {"num_iterations": 2, "epsilon_high": 0.28}, GRPO | {"epsilon_high": 0.28}),
    "PM407": (GRPO | VLLM | {"vllm_importance_sampling_correction": False}, GRPO | VLLM),
    "PM408": (GRPO | VLLM, GRPO),
    "PM501": (RLOO | {"sync_ref_model": True}, RLOO),
    "PM502": (RLOO | {"weight_decay": 0.1}, RLOO),
    "PM503": (GRPO | {"entropy_coef": 0.01}, GRPO),
    "PM504": (GRPO | {"use_adaptive_entropy": True}, GRPO | {"entropy_coef": 0.01}),
    "PM505": (RLOO | {"router_aux_loss_coef": 0.001}, RLOO),
    "PM602": (GRPO, RLOO),
    "PM603": (RLOO | {"mask_truncated_completions": True}, RLOO),
    "PM604": (GRPO | {"off_policy_mask_threshold": 0.5}, GRPO),
    "PM605": (GRPO | {"top_entropy_quantile": 0.2}, GRPO),
    "PM607": (RLOO | {"num_generations": 4}, RLOO),
    "PM701": (GRPO, GRPO | {"use_bias_correction_kl": True, "max_completion_length": 64}),
    "PM702": (GRPO | {"threshold": 0.8, "sync_ref_model": True}, GRPO | {"threshold": 0.8}),
    "PM703": (GRPO, RLOO),
    "PM704": (RLOO | {"max_prompt_length": 64}, RLOO),
    "PM705": (RLOO | {"zebra": 1}, RLOO),
}

# Codes that no configuration of TRL has: framework, settings that have it, settings that have not.
A = "actor_rollout_ref.actor."
VERL = {"algorithm.adv_estimator": "rloo", "actor_rollout_ref.rollout.n": 16}
VERL_KL = VERL | {f"{A}use_kl_loss": True, f"{A}kl_loss_type": "k3+"}
SLIME = {"advantage-estimator": "grpo", "rollout-batch-size": 32, "n-samples-per-prompt": 16}
SKYRL = {"trainer.algorithm.advantage_estimator": "rloo", "generator.n_samples_per_prompt": 16}
OPENRLHF = {"algo.advantage.estimator": "rloo", "rollout.n_samples_per_prompt": 16}
OTHERS = {
    "PM102": (
        "slime",
        SLIME | {"use-kl-loss": True, "kl-loss-coef": 0.1},  # k1 is the default
        SLIME | {"use-kl-loss": True, "kl-loss-coef": 0.1, "kl-loss-type": "k2"},
    ),
    "PM105": (
        "verl",
        VERL | {"algorithm.use_kl_in_reward": True, "algorithm.kl_penalty": "k2"},
        VERL | {"algorithm.use_kl_in_reward": True, "algorithm.kl_penalty": "k1"},
    ),
    "PM107": (
        "verl",
        VERL | {"algorithm.use_kl_in_reward": True, "algorithm.kl_ctrl.type": "adaptive"},
        VERL | {"algorithm.use_kl_in_reward": True},
    ),
    "PM108": ("verl", VERL_KL | {f"{A}kl_loss_type": "low_var_kl"}, VERL_KL),
    "PM110": ("slime", SLIME | {"kl-coef": 0.1}, SLIME),
    "PM208": ("verl", VERL | {"algorithm.adv_estimator": "grpo_passk"}, VERL),
    "PM302": (
        "skyrl",
        SKYRL | {"trainer.algorithm.use_kl_loss": True},
        SKYRL | {"trainer.algorithm.use_kl_loss": False},
    ),
    "PM406": ("skyrl", SKYRL | {"trainer.fully_async.enabled": True}, SKYRL),
    "PM601": ("verl", VERL | {"algorithm.filter_groups.enable": True}, VERL),
    "PM606": (
        "openrlhf",
        OPENRLHF
        | {"algo.dynamic_filtering_enable": True, "algo.dynamic_filtering_range": [0.2, 0.8]},
        OPENRLHF | {"algo.dynamic_filtering_enable": True},
    ),
}
FRAMEWORK = {
    **dict.fromkeys(CONFIGS, "trl"),
    **{code: framework for code, (framework, *_) in OTHERS.items()},
}
PAIRS = {
    **{code: pair[:2] for code, pair in CONFIGS.items()},
    **{code: pair for code, (_, *pair) in OTHERS.items()},
}


def write(path, framework, settings):
    """A file as that framework's users have it: YAML, or the command that starts the run."""
    if framework in ("slime", "openrlhf"):
        program = {"slime": "slime/train.py", "openrlhf": "-m openrlhf.cli.train_ppo_ray"}
        words = [
            f"--{k}"
            if v is True
            else f"--{k} {' '.join(map(str, v if isinstance(v, list) else [v]))}"
            for k, v in settings.items()
        ]
        path = path.with_suffix(".sh")
        path.write_text(" \\\n  ".join([f"python3 {program[framework]}", *words]) + "\n")
        return path
    nested = {}
    for key, value in settings.items():
        *above, last = key.split(".")
        section = nested
        for name in above:
            section = section.setdefault(name, {})
        section[last] = value
    path = path.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(nested))
    return path


def codes(settings, version=VERSION):
    return {finding.code: finding for finding in audit_config(settings, version=version).findings}


def test_every_code_has_two_files_and_a_section():
    """And nothing else does: a code that no file can trigger has no place among the rules."""
    titles = dict(re.findall(r"^### (PM\d{3}): (.+?) \{#pm\d{3}\}$", text_of_page(), re.MULTILINE))
    assert set(CONFIGS) | set(OTHERS) == set(RULES) == set(titles)
    assert not set(CONFIGS) & set(OTHERS)
    assert titles == {code: rule.title for code, rule in RULES.items()}
    assert len(RULES) >= 25


@pytest.mark.parametrize("code", PAIRS)
def test_a_file_with_the_finding_and_one_without(code, tmp_path):
    version = VERSION if FRAMEWORK[code] == "trl" else None
    version = CONFIGS[code][2] if len(CONFIGS.get(code, ())) == 3 else version
    for settings, expected in zip(PAIRS[code], (True, False), strict=True):
        path = write(tmp_path / "run", FRAMEWORK[code], settings)
        audit = pm.audit(str(path), version=version)
        assert audit.objective.framework == FRAMEWORK[code]
        found = {finding.code: finding for finding in audit.findings}
        assert (code in found) is expected
        if expected:
            assert found[code].effect.endswith(".")
            assert found[code].place
            assert found[code].docs.endswith(f"#{code.lower()}")
            assert found[code].severity in SEVERITIES


@pytest.mark.parametrize("code", [c for c in CONFIGS if len(CONFIGS[c]) == 2])
def test_the_remedy_mends_it(code):
    bad, _ = CONFIGS[code]
    fix = codes(bad)[code].fix
    if fix is not None and fix.changes:
        audit = audit_config(bad, version=VERSION, overrides=words(fix.changes))
        assert code not in {finding.code for finding in audit.findings}


def words(changes):
    return [f"{key}={'null' if value is None else value}" for key, value in changes.items()]


def test_findings_come_worst_first():
    bad = GRPO | {"scale_rewards": "group", "loss_type": "grpo", "top_p": 0.9, "weight_decay": 0.1}
    found = audit_config(bad, version=VERSION).findings
    ranks = [SEVERITIES.index(finding.severity) for finding in found]
    assert ranks == sorted(ranks)
    assert {"error", "warning", "note"} == {finding.severity for finding in found}


def test_a_clean_run_has_nothing_worse_than_a_note():
    audit = audit_config(RLOO, version=VERSION)
    assert audit.worst() == "note"
    assert audit.objective.anchoring_problems() == ()
    assert audit.fix() == {}


def test_all_remedies_together_leave_no_error_that_a_key_can_mend():
    bad = GRPO | {
        **{"scale_rewards": "group", "loss_type": "cispo", "sync_ref_model": True},
        **{"use_bias_correction_kl": False, "top_k": 20, "num_iterations": 4},
    }
    audit = audit_config(bad, version=VERSION)
    assert audit.worst() == "error"
    mended = audit_config(bad, version=VERSION, overrides=words(audit.fix()))
    assert mended.worst() == "warning"
    assert [f.code for f in mended.findings if f.severity == "warning"] == ["PM104"]


def test_numbers_in_an_effect_are_those_of_the_configuration():
    effect = codes(GRPO | {"scale_rewards": "group", "num_generations": 8})["PM201"].effect
    assert "beta = 0.05 acts as" in effect
    assert "0.0288 at 0.5" in effect  # .05 / 1.735, the gap at .5 in groups of 8
    assert "2.88" not in effect
    assert "10^43.4" in codes(RLOO | {"beta": 0.001})["PM109"].effect  # e^100


def text_of_page():
    return PAGE.read_text(encoding="utf-8")


OF_THE_FILE = {"PM701", "PM704", "PM705"}  # about releases and names: nothing to derive


@pytest.mark.parametrize("code", RULES)
def test_the_section_of_a_code_derives_it(code):
    """By a formula, or by the numbers of the toy."""
    section = text_of_page().split(f"### {code}:")[1].split("\n### ")[0].split("\n## ")[0]
    assert len(section) > 250
    derived = "$" in section or "`--simulate`" in section
    assert derived is (code not in OF_THE_FILE)
