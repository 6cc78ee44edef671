"""Options of the remade figures: what is read, and everything that is wrong at once."""

import pytest

from polymode.errors import ConfigError
from polymode.papers.settings import FigureSettings, read_options

GOOD = {"seed": 0, "steps": [5], "runs": 1}


def test_figures_come_sorted_once_each():
    assert read_options(["5, 2", "2"], **GOOD)[0] == (2, 5)
    assert read_options(["all"], **GOOD)[0] == (2, 3, 4, 5, 6)


def test_steps_go_in_any_order():
    _, settings = read_options(["5"], seed=3, steps=[20, 5, 20], runs=2)
    assert settings == FigureSettings(seed=3, steps=(5, 20), runs=2)


def test_all_problems_come_at_once():
    with pytest.raises(ConfigError) as caught:
        read_options(["1", "dog"], seed=-1, steps=[0], runs=0)
    text = str(caught.value)
    for part in ("got '1'", "got 'dog'", "seed must be", "steps must be", "runs must be"):
        assert part in text


@pytest.mark.parametrize("steps", [(), (0, 1), (5, 3), (4, 4)])
def test_settings_want_rising_steps(steps):
    with pytest.raises(ConfigError, match="steps must be rising numbers >= 1"):
        FigureSettings(steps=steps)
