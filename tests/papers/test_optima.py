"""Figures 2, 3, 4 and 6: the numbers of the paper, and those that follow by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from polymode.core import divergence_names
from polymode.files import write_json
from polymode.papers.figures import figure_result
from polymode.papers.settings import FigureSettings

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "science" / "results"


def result(number):
    return figure_result(number, FigureSettings(), lambda step, steps: None)


def panel(number, **wanted):
    (found,) = (
        each
        for each in result(number)["panels"]
        if all(each[key] == value for key, value in wanted.items())
    )
    return found


def test_figure_2_crosses_where_the_log_ratios_cancel():
    # Remark 4.4: (1 - .75) / (5.95 - 4.05) = .1316; the paper prints .132.
    found = panel(2, divergence="reverse_kl", method="plain")
    assert found["equal_mass_beta"] == pytest.approx(0.25 / 1.9, rel=1e-12)


def test_figure_2_flips_between_the_strengths_of_the_paper():
    found = panel(2, divergence="reverse_kl", method="plain")
    betas, (first, second, _) = np.array(result(2)["betas"]), np.array(found["targets"])
    assert (second > first)[betas <= 0.10].all()
    assert (first > second)[betas >= 0.15].all()


def test_figure_2_crosses_under_forward_kl_too():
    # q1 / (L - .75) = q2 / (L - 1) gives L, the sum of all three gives beta.
    q1, q2 = np.exp(-4.05), np.exp(-5.95)
    level = (q1 - 0.75 * q2) / (q1 - q2)
    beta = 1 / (q1 / (level - 0.75) + q2 / (level - 1) + (1 - q1 - q2) / level)
    found = panel(2, divergence="forward_kl", method="plain")
    assert found["equal_mass_beta"] == pytest.approx(beta, rel=1e-9)


@pytest.mark.parametrize("divergence", ["reverse_kl", "forward_kl"])
def test_figure_2_anchored_is_equal_everywhere(divergence):
    found = panel(2, divergence=divergence, method="anchored")
    first, second, _ = found["targets"]
    np.testing.assert_allclose(first, second, rtol=1e-9)
    assert found["equal_mass_beta"] is None


def test_figure_3_is_a_softmax_of_the_rewards():
    weights = np.exp([0.0, 1.8, 2.0])  # r / .5
    found = panel(3, divergence="reverse_kl", method="plain", beta=0.5)["target"]
    np.testing.assert_allclose(found, weights / weights.sum(), rtol=1e-12)
    np.testing.assert_allclose(found, [0.066, 0.422, 0.512], atol=3.5e-3)  # as the paper prints
    small = panel(3, divergence="reverse_kl", method="plain", beta=1e-3)["target"]
    # A gap of .1 at beta .001 is e^-100.
    np.testing.assert_allclose(small, [0.0, np.exp(-100), 1.0], rtol=1e-9)


def test_figure_3_anchored_shares_the_reward_of_the_anchor():
    # Equal q: the first of the good ones is the anchor, and both earn its .9.
    good = np.exp(1.8) / (1 + 2 * np.exp(1.8))
    found = panel(3, divergence="reverse_kl", method="anchored", beta=0.5)
    np.testing.assert_allclose(found["target"], [1 - 2 * good, good, good], rtol=1e-12)
    assert found["algorithm"] == 1
    assert panel(3, divergence="forward_kl", method="anchored", beta=0.5)["algorithm"] == 2


def test_figure_4_keeps_the_ratio_of_the_reference():
    found = panel(4, divergence="reverse_kl", method="plain", beta=1e-3)["target"]
    np.testing.assert_allclose(found, [0.0, 0.9375, 0.0625], atol=1e-12)  # .30 / .32, .02 / .32
    for beta in (1e-3, 0.5):
        _, likely, rare = panel(4, divergence="forward_kl", method="plain", beta=beta)["target"]
        assert likely / rare == pytest.approx(15, rel=1e-9)


@pytest.mark.parametrize("beta", [1e-3, 0.5])
@pytest.mark.parametrize(("method", "q_bad"), [("plain", 0.68), ("anchored", 0.68 / 1.28)])
def test_figure_4_under_forward_kl_solves_a_quadratic(method, q_bad, beta):
    # beta (b / L + (1 - b) / (L - 1)) = 1, so L^2 - (1 + beta) L + beta b = 0. Anchored, the
    # reference is .68, .30, .30 before it is scaled.
    level = (1 + beta + np.sqrt((1 + beta) ** 2 - 4 * beta * q_bad)) / 2
    found = panel(4, divergence="forward_kl", method=method, beta=beta)["target"]
    assert found[0] == pytest.approx(beta * q_bad / level, rel=1e-9)


def test_figure_6_is_flat_under_every_divergence():
    found = result(6)["divergences"]
    good = np.array(found["rewards"]) == 1
    assert [each["divergence"] for each in found["panels"]] == list(divergence_names())
    for each in found["panels"]:
        anchored, plain = np.array(each["anchored"]), np.array(each["plain"])
        np.testing.assert_allclose(anchored[good], anchored[good][0], rtol=1e-9)
        np.testing.assert_allclose(plain[good] / plain[good][-1], [4, 2, 1], rtol=1e-9)  # as q
        assert anchored[good].sum() > 0.6
        assert each["unique"] == (each["divergence"] != "total_variation")


def test_figure_6_algorithm_1_collapses_under_forward_kl():
    found = result(6)["algorithms"]
    plain, one, two = (np.array(each["target"]) for each in found["panels"])
    # Rewards become r' = 1, 1 + .05 log 15: the rare output has the largest.
    q, r = np.array([0.68, 0.30, 0.02]), np.array([0.0, 1.0, 1 + 0.05 * np.log(15)])
    levels = r + 0.05 * q / one
    np.testing.assert_allclose(levels, levels[0], rtol=1e-9)
    assert one[2] > 7 * one[1]
    assert plain[1] / plain[2] == pytest.approx(15, rel=1e-9)
    assert two[1] == pytest.approx(two[2], rel=1e-9)


def test_figure_6_modes_are_equal_and_keep_their_phrasings():
    found = result(6)["modes"]
    answers = np.array(found["answers"])
    reference, _, strings, modes = (np.array(p["probabilities"]) for p in found["panels"])
    good = answers != "none"
    np.testing.assert_allclose(strings[good], strings[good][0], rtol=1e-9)
    assert strings[answers == "A"].sum() / strings[good].sum() == pytest.approx(10 / 13)
    shares = [modes[answers == answer].sum() for answer in "ABCD"]
    np.testing.assert_allclose(shares, shares[0], rtol=1e-9)
    np.testing.assert_allclose(
        modes[answers == "A"] / modes[0], reference[answers == "A"] / reference[0], rtol=1e-9
    )


@pytest.mark.parametrize("number", [2, 3, 4, 6])
def test_results_survive_json(number, tmp_path):
    before = result(number)
    write_json(tmp_path / "figure.json", before, indent=1)
    assert json.loads((tmp_path / "figure.json").read_text()) == before
    assert before["schema_version"] == 1
    assert before["environment"]["numpy"] == np.__version__


@pytest.mark.parametrize("number", [2, 3, 4, 6])
def test_kept_results_are_what_the_code_gives(number):
    (path,) = RESULTS.glob(f"*-paper-figure-{number}.json")
    kept, now = json.loads(path.read_text()), result(number)
    for each in (kept, now):
        del each["environment"]
    assert_close(kept, now)


def assert_close(kept, now):
    if isinstance(kept, dict):
        assert kept.keys() == now.keys()
        for key in kept:
            assert_close(kept[key], now[key])
    elif isinstance(kept, list):
        assert len(kept) == len(now)
        for one, other in zip(kept, now, strict=True):
            assert_close(one, other)
    elif not isinstance(kept, float):
        assert kept == now
    else:
        assert kept == pytest.approx(now, rel=1e-8, abs=1e-15)
