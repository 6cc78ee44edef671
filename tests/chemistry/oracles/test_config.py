"""The section of a configuration: what it makes, and all that can be wrong with it at once."""

import tomllib

import numpy as np
import pytest
from rdkit import Chem

from polymode.chemistry.oracles import Component, OracleConfig, build_oracle
from polymode.chemistry.oracles.processes import packed
from polymode.chemistry.sections import checked
from polymode.errors import ArgumentError, ConfigError

BAD = "tests.chemistry.oracles.bad"
TEXT = f"""
[oracle]
aggregation = "arithmetic_mean"
budget = 100
workers = 0

[[oracle.components]]
type = "qed"
weight = 3

[[oracle.components]]
type = "mw"
transform = {{ type = "step", low = 40, high = 50 }}

[[oracle.components]]
type = "{BAD}:lengths"
name = "length"
takes = "smiles"
parameters = {{ divisor = 10 }}
direction = "minimise"
weight = 0

[[oracle.components]]
type = "{BAD}:two_values"
name = "two"
endpoints = [
    {{ name = "atoms", weight = 2 }},
    {{ name = "bonds", transform = {{ type = "right_step", high = 0.02 }}, weight = 2 }},
]
"""


def test_a_section_becomes_an_oracle():
    oracle = build_oracle(checked(OracleConfig, tomllib.loads(TEXT)["oracle"], owner="run.toml"))
    scores = oracle(["CCO"])
    qed = Chem.QED.qed(Chem.MolFromSmiles("CCO"))
    assert list(scores.raw) == ["qed", "mw", "length", "two.atoms", "two.bonds"]
    assert scores.transformed["length"][0] == pytest.approx(1 - 0.3)
    assert scores.raw["mw"][0] == pytest.approx(46.069)
    expected = (3 * qed + 1 + 2 * 0.03 + 2 * 1) / 8
    np.testing.assert_allclose(scores.rewards, [expected])
    assert oracle.budget == 100


def test_a_configuration_goes_through_json():
    config = checked(OracleConfig, tomllib.loads(TEXT)["oracle"], owner="run.toml")
    again = OracleConfig.model_validate_json(config.model_dump_json())
    assert again == config
    np.testing.assert_array_equal(
        build_oracle(again)(["CC"]).rewards, build_oracle(config)(["CC"]).rewards
    )


def problems(*components, **settings):
    with pytest.raises(ConfigError) as caught:
        checked(OracleConfig, {"components": list(components), **settings}, owner="run.toml")
    return list(caught.value.problems)


def test_all_problems_are_told_at_once():
    found = problems(
        {"type": "qedd"},
        {"type": "sa", "parameters": {"normalized": False}},
        {"type": "mw"},
        {"type": "mw", "weights": 2, "transform": {"type": "doublesigmoid"}},
        {"type": "mw", "transform": {"type": "sigmoid", "low": 1, "highs": 2}},
        {"type": "similarity", "parameters": {"smiles": ["C1C"], "radius": -1}},
        {"type": "alerts", "parameters": {"sets": ["PAIN"]}},
        {"type": f"{BAD}:no_such"},
        bugdet=3,
    )
    wanted = [
        "components.0: type must be a component or a path like package.module:function, got 'qedd'"
        "; did you mean 'qed'?",
        "components.1: unknown key 'parameters.normalized'; did you mean 'normalised'?",
        "components.2: transform must be given: mw is no score in [0, 1] but > 0 Da; for instance "
        '{ type = "double_sigmoid", low = …, high = … }',
        "components.3.transform: type must be the name of a transform, got 'doublesigmoid'; did "
        "you mean 'double_sigmoid'?",
        "unknown key 'components.3.weights'; did you mean 'weight'?",
        "components.4.transform.high must be given",
        "unknown key 'components.4.transform.highs'; did you mean 'high'?",
        "components.5: parameters.smiles: must be SMILES of molecules, got 'C1C'",
        "components.5: parameters.radius: input should be greater than or equal to 0, got -1",
        "components.6: parameters.sets: set must be",
        f"components.7: type must be a function of module {BAD}, got '{BAD}:no_such', which is not "
        "there",
        "unknown key 'bugdet'; did you mean 'budget'?",
    ]
    assert len(found) == len(wanted)
    for line, start in zip(found, wanted, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("components", "settings", "text"),
    [
        ([], {}, "components must hold one component at least, got none"),
        ([{"type": "qed", "weight": 0}], {}, "weights must hold one above 0, got none"),
        ([{"type": "qed"}] * 2, {}, "names of components must differ, got 'qed' 2 times"),
        ([{"type": "qed"}], {"workers": 0, "backend": "ray"}, 'workers must be "auto" or at least'),
        ([{"type": "qed", "takes": "smiles"}], {}, "takes is for functions of yours only"),
        ([{"type": "qed", "endpoints": [{"name": "a"}]}], {}, "qed has one value"),
        (
            [{"type": f"{BAD}:two_values", "weight": 2, "endpoints": [{"name": "atoms"}]}],
            {},
            "transform, direction and weight belong to each of the endpoints",
        ),
        (
            [
                {
                    "type": "mw",
                    "direction": "minimise",
                    "transform": {"type": "reverse_sigmoid", "low": 1, "high": 2},
                }
            ],
            {},
            "direction minimise turns reverse_sigmoid round once more",
        ),
        ([{"type": "rings", "parameters": {"low": 1}}], {}, "unknown key 'parameters.low'"),
        ([{"type": "qed"}], {"aggregation": "mean"}, "aggregation: input should be 'product'"),
    ],
)
def test_what_does_not_fit_is_refused(components, settings, text):
    (found,) = problems(*components, **settings)
    assert text in found


def test_counts_are_no_scores_but_may_be_watched():
    smarts = {"type": "smarts", "parameters": {"patterns": ["C"], "mode": "count"}}
    (found,) = problems(smarts)
    assert "transform must be given" in found
    config = {"components": [{"type": "qed"}, {**smarts, "weight": 0}], "workers": 0}
    oracle = build_oracle(OracleConfig.model_validate(config))
    assert oracle(["CCO"]).raw["smarts"].tolist() == [2]


def test_a_bare_name_is_a_transform():
    config = OracleConfig.model_validate({"components": [{"type": "mw", "transform": "none"}]})
    assert build_oracle(config)(["C"]).rewards[0] == pytest.approx(16.043)


def test_what_cannot_go_to_processes_is_told_at_once():
    with pytest.raises(ArgumentError, match=r"component f must pickle.*or use workers = 0"):
        packed([Component("f", lambda mols: mols)])
