"""Quality against diversity: means over seeds, betas in order, one panel a task."""

import pytest

pytest.importorskip("matplotlib")

from polymode.plots.quality_diversity import quality_diversity_data, save_quality_diversity


def run(task, method, beta, seed, quality, diversity):
    base = {"frac_valid": 0.3, "frac_of_max_entropy": 0.5}
    measured = {"frac_valid": quality, "frac_of_max_entropy": diversity}
    own = {"task": task, "method": method, "beta": beta, "seed": seed}
    return {**own, "base": base, "measured": measured}


RUNS = [
    run("die", "plain RLOO", 0.4, 0, 0.9, 0.6),
    run("die", "plain RLOO", 0.1, 0, 1.0, 0.2),
    run("die", "plain RLOO", 0.1, 1, 0.8, 0.4),
    run("die", "anchored, modes", 0.1, 0, 0.97, 0.99),
    run("season", "anchored, modes", 0.1, 0, 0.0, None),  # no valid answer, hence no entropy
]


def test_points_are_means_over_seeds_by_beta():
    die, season = quality_diversity_data(RUNS)
    assert (die.task, die.base) == ("die", (0.3, 0.5))
    plain, anchored = die.methods
    assert plain.betas == (0.1, 0.4)
    assert plain.quality == pytest.approx((0.9, 0.9))
    assert plain.diversity == pytest.approx((0.3, 0.6))
    assert plain.n_seeds == (2, 1)
    assert anchored.quality == (0.97,)
    assert season.methods[0].diversity == (0.0,)


def test_the_figure_is_the_same_file_each_time(tmp_path):
    first = save_quality_diversity(RUNS, tmp_path, "a")
    second = save_quality_diversity(RUNS, tmp_path, "b")
    assert [path.suffix for path in first] == [".png", ".svg"]
    text = first[1].read_text()
    assert text == second[1].read_text()
    for label in ("plain RLOO", "anchored, modes", "base model"):
        assert label in text
