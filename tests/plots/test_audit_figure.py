"""The figure of an audit shows the numbers of the simulation, and says what it leaves out."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from polymode.diagnostics.audit import audit_config
from polymode.diagnostics.audit.simulation import simulate
from polymode.plots.audit import audit_figure, ending_data

GRPO = {"beta": 0.2, "loss_type": "dr_grpo", "num_generations": 8, "scale_rewards": "none"}


def objective(**changes):
    return audit_config({**GRPO, **changes}, version="1.16.0").objective


@pytest.mark.parametrize("anchored", [False, True])
def test_bars_are_distributions_with_the_likeliest_good_output_first(anchored):
    data = ending_data(simulate(objective(), anchored=anchored))
    assert data.labels == ("00", "01", "02", "03", "11", "20", "21", "30", "others")
    for heights in (data.reference, data.believed, data.ended):
        assert heights.sum() == pytest.approx(1.0)
    assert np.all(np.diff(data.reference[:-1]) <= 1e-12)
    if anchored:
        np.testing.assert_allclose(data.believed[:-1], data.believed[0])
        assert data.ended.argmax() == 7  # the rarest good output takes most


def test_both_panels_where_both_can_be_solved():
    figure = audit_figure(objective())
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert [title.split(":")[0] for title in titles] == ["plain rewards", "anchored rewards"]
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    np.testing.assert_allclose(heights, ending_data(simulate(objective())).ended)
    assert figure._suptitle.get_text().strip() == "GRPOTrainer: reverse KL of tokens, in the loss"


def test_what_is_not_shown_is_said():
    figure = audit_figure(objective(scale_rewards="group", loss_type="grpo", top_p=0.9))
    assert len(figure.axes) == 1
    said = figure._supxlabel.get_text()
    for text in ("lengths", "how samples are drawn", "anchored rewards are not shown"):
        assert text in said.replace("\n", " ")
