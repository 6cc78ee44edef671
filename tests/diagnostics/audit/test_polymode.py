"""polymode's own recipes: read as the configuration that their trainer gets."""

from dataclasses import fields
from pathlib import Path

import pytest

import polymode as pm
from polymode.diagnostics.audit import audit_config
from polymode.diagnostics.audit.frameworks import FRAMEWORKS
from polymode.diagnostics.audit.frameworks.polymode import CHANGED
from polymode.errors import ConfigError

TEMPLATE = Path(pm.__file__).parent / "language" / "recipe_template.yaml"
VERSION = "1.16.0"
METHOD = {"name": "anchored", "threshold": 1.0, "beta": 0.2}


def recipe(**sections):
    return {"data": "die", "method": METHOD, "trainer": {"num_generations": 16}} | sections


def audited(**sections):
    return audit_config(recipe(**sections), version=VERSION)


def test_the_template_is_exact_and_its_lines_are_named():
    audit = pm.audit(str(TEMPLATE), version=VERSION)
    o = audit.objective
    assert (o.framework, o.trainer, o.anchored) == ("polymode", "ShapedTrainer", "anchored")
    assert (o.divergence, o.level, o.beta, o.group_size) == ("reverse_kl", "sequence", 0.2, 64)
    assert o.anchoring_problems() == ()
    assert audit.worst() in (None, "note")
    (beta,) = [s for s in o.sources["beta"] if s.given]
    assert beta.key == "method.beta"
    line = TEMPLATE.read_text().splitlines()[beta.source.line - 1]
    assert line.strip().startswith("beta: 0.2")


@pytest.mark.parametrize(
    ("algorithm", "name", "trainer", "placement", "divergence", "level"),
    [
        ("rloo", "anchored", "ShapedTrainer", "reward", "reverse_kl", "sequence"),
        ("rloo", "plain", "ShapedTrainer", "reward", "reverse_kl", "sequence"),
        ("grpo", "anchored", "MARAGRPOTrainer", "reward", "reverse_kl", "sequence"),
        ("grpo", "plain", "GRPOTrainer", "loss", "reverse_kl", "token"),
        ("token_kl", "plain", "TokenKLTrainer", "loss", "reverse_kl", "token"),
    ],
)
def test_what_each_algorithm_regularises(algorithm, name, trainer, placement, divergence, level):
    o = audited(method={"algorithm": algorithm, "name": name, "beta": 0.1}).objective
    assert (o.trainer, o.kl_placement, o.divergence, o.level) == (
        *(trainer, placement, divergence, level),
    )


def test_a_forward_kl_of_tokens_is_asked_for_by_name():
    method = {"algorithm": "token_kl", "name": "plain", "token_regulariser": "forward_kl"}
    found = audited(method=method)
    assert found.objective.divergence == "forward_kl"
    assert "PM103" in {finding.code for finding in found.findings}


def test_what_spoils_anchoring_is_an_error_in_the_words_of_the_recipe():
    found = audited(trainer={"sync_ref_model": True, "num_generations": 16})
    (finding,) = [f for f in found.findings if f.code == "PM501"]
    assert finding.fix.changes == {"trainer.sync_ref_model": False}
    assert "PM702" in {f.code for f in found.findings}
    token_kl = {**METHOD, "algorithm": "token_kl", "allow_token_local_anchoring": True}
    (error,) = [f for f in audited(method=token_kl).findings if f.code == "PM702"]
    assert error.fix.changes == {"method.algorithm": "rloo"}
    mended = audited(method={**token_kl, **{"algorithm": "rloo"}})
    assert "PM702" not in {f.code for f in mended.findings}


def test_a_bare_name_and_a_misspelt_option():
    assert audited(method="plain").objective.anchored == "plain"
    with pytest.raises(ConfigError, match=r"did you mean 'method\.threshold'"):
        audited(method={**METHOD, "thresholds": 1.0})
    with pytest.raises(ConfigError, match=r"did you mean 'trainer\.num_generations'"):
        audited(trainer={"num_generation": 8})
    with pytest.raises(ConfigError, match="did you mean 'pass_at_k'"):
        audited(method="pass_at_n")
    with pytest.raises(ConfigError, match=r"method\.algorithm must be one of rloo, grpo, token_kl"):
        audited(method={"algorithm": "ppo"})


def test_defaults_that_are_not_those_of_trl_are_those_of_our_configs():
    pytest.importorskip("trl")
    from polymode.language.options import config_class

    algorithms = {"ShapedTrainer": "rloo", "MARAGRPOTrainer": "grpo", "TokenKLTrainer": "token_kl"}
    for trainer, algorithm in algorithms.items():
        ours = config_class("anchored", algorithm)
        host = next(base for base in ours.__mro__ if base.__module__.startswith("trl."))
        standard = {field.name: field.default for field in fields(host)}
        changed = {
            field.name: field.default
            for field in fields(ours)
            if field.name in standard and field.default != standard[field.name]
        }
        changed.pop("use_bias_correction_kl", None)  # unset, it follows token_regulariser
        told = {key.partition(".")[2]: value for key, value in CHANGED[trainer].items()}
        assert changed == told


def test_every_option_of_our_configs_has_a_class():
    pytest.importorskip("trl")
    from polymode.diagnostics.audit.reading import read_settings
    from polymode.language.options import config_class
    from polymode.language.recipe import MethodSection

    framework = FRAMEWORKS["polymode"]
    for algorithm in ("rloo", "grpo", "token_kl"):
        settings = read_settings(recipe(method={"algorithm": algorithm}))
        known = {key.partition(".")[2] for key in framework.fields(settings)}
        options = {field.name for field in fields(config_class("anchored", algorithm))}
        assert options - {"method"} <= known
        assert set(MethodSection.model_fields) <= known
