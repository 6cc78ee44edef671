"""The figure of an audit shows the numbers of the simulation, and says what it leaves out."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from polymode.diagnostics.audit import audit_config
from polymode.diagnostics.audit.simulation import simulate
from polymode.plots.audit import audit_figure, ending_data, way_data

GRPO = {"beta": 0.2, "loss_type": "dr_grpo", "num_generations": 8, "scale_rewards": "none"}


def objective(**changes):
    return audit_config({**GRPO, **changes}, version="1.16.0").objective


@pytest.mark.parametrize("anchored", [False, True])
def test_bars_are_distributions_with_the_likeliest_good_output_first(anchored):
    data = ending_data(simulate(objective(), anchored=anchored))
    assert data.labels == ("aa", "ab", "ac", "d", "ad", "bb", "ca", "cb", "bad")
    for heights in (data.reference, data.believed, data.ended):
        assert heights.sum() == pytest.approx(1.0)
    assert np.all(np.diff(data.reference[:-1]) <= 1e-12)
    if anchored:
        np.testing.assert_allclose(data.believed[:-1], data.believed[0])
        assert data.ended.argmax() == 5  # the only good output of its first token takes most


def test_both_panels_where_both_can_be_solved():
    figure = audit_figure(objective())
    titles = [ax.get_title(loc="left") for ax in figure.axes[:2]]
    assert [title.split(":")[0] for title in titles] == ["plain rewards", "anchored rewards"]
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    np.testing.assert_allclose(heights, ending_data(simulate(objective())).ended)
    assert figure._suptitle.get_text().strip() == "GRPOTrainer: reverse KL of tokens, in the loss"


def test_what_is_not_shown_is_said():
    figure = audit_figure(objective(scale_rewards="group", num_iterations=4, weight_decay=0.1))
    said = figure._supxlabel.get_text().replace("\n", " ")
    for text in (
        "not shown: weight decay",
        "plain rewards: with 4 updates of 0.1 nats",
        "anchored rewards: groups of 7, the largest that can be listed; with 4",
    ):
        assert text in said
    below = figure.axes[2:]
    assert [ax.get_title(loc="left") for ax in below] == ["", ""]
    alone = audit_figure(objective(beta=0.0, top_p=0.8))
    assert len(alone.axes) == 2
    assert (
        "anchored rewards are not shown: anchoring needs a beta > 0" in alone._supxlabel.get_text()
    )
    assert "goes round" in audit_figure(objective(top_p=0.8)).axes[2].get_title(loc="left")


def test_lines_are_those_of_the_way():
    ending = simulate(objective(), anchored=True)
    data = way_data(ending)
    assert data.share_in_effect[-1] * 8 == pytest.approx(ending.effective_good)
    drawn = audit_figure(objective()).axes[3].lines
    for line, heights in zip(
        drawn, (data.success_rate, data.share_in_effect, data.distance), strict=True
    ):
        np.testing.assert_allclose(line.get_ydata(), heights)
