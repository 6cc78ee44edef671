"""Every code: a configuration that has it, one that has not, and a remedy that mends it."""

import re
from pathlib import Path

import pytest

from polymode.diagnostics.audit import EffectiveObjective, audit_config
from polymode.diagnostics.audit.findings import SEVERITIES
from polymode.diagnostics.audit.rules import RULES, Case, find_all

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

# Codes that no configuration of TRL has: facts of an objective instead.
KL = {"beta": 0.05, "kl_placement": "loss", "kl_estimator": "k3"}
FACTS = {
    "PM102": ({**KL, "kl_estimator": "k1"}, KL),
    "PM105": ({**KL, "kl_placement": "reward"}, {**KL, "kl_estimator": "k2"}),
    "PM107": ({**KL, "beta_adaptive": True}, KL),
    "PM108": ({**KL, "kl_clip": 10.0}, KL),
    "PM110": ({"lost_beta": 0.1}, {}),
    "PM208": ({"reward_transformations": ("overlong_penalty",)}, {}),
    "PM302": ({**KL, "kl_aggregation": "per_sequence"}, KL),
    "PM406": ({"asynchronous": True}, {}),
    "PM601": ({"drops": ("zero_variance",)}, {"drops": ("truncated",)}),
    "PM606": ({"drops": ("outside_range",)}, {}),
}


def codes(settings, version=VERSION):
    return {finding.code: finding for finding in audit_config(settings, version=version).findings}


def test_every_code_is_tested_here():
    assert set(CONFIGS) | set(FACTS) == set(RULES)
    assert not set(CONFIGS) & set(FACTS)
    assert len(RULES) >= 25


@pytest.mark.parametrize("code", CONFIGS)
def test_a_configuration_with_the_finding_and_one_without(code):
    bad, good, *rest = CONFIGS[code]
    found = codes(bad, *rest)
    assert code in found
    assert code not in codes(good, *rest)
    finding = found[code]
    assert finding.effect.endswith(".")
    assert finding.place
    assert finding.docs.endswith(f"#{code.lower()}")


@pytest.mark.parametrize("code", FACTS)
def test_facts_with_the_finding_and_without(code):
    for facts, expected in zip(FACTS[code], (True, False), strict=True):
        objective = EffectiveObjective(framework="trl", version="0", trainer="any", **facts)
        assert (code in {finding.code for finding in find_all(Case(objective))}) == expected


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


def test_every_code_has_a_section_on_its_page():
    text = PAGE.read_text(encoding="utf-8")
    titles = dict(re.findall(r"^### (PM\d{3}): (.+?) \{#pm\d{3}\}$", text, re.MULTILINE))
    assert titles == {code: rule.title for code, rule in RULES.items()}
    for code in RULES:
        section = text.split(f"### {code}:")[1].split("\n### ")[0]
        assert f"{{#{code.lower()}}}" in section
        assert len(section) > 250
