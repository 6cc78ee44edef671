"""Whatever numbers a file may hold, a diagnosis ends without a warning, in plain data."""

import json

import numpy as np
import pytest

pytest.importorskip("arviz_stats")

from hypothesis import given, settings
from hypothesis import strategies as st

from polymode.diagnostics.diagnosis import VERDICTS, RecordedSamples, diagnose_samples

REWARDS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e-300, 1e100, -1e100, 1e99, 3.0])
LOG_PROBS = st.sampled_from([0.0, -1e-12, -0.5, -1.0, -40.0, -800.0, -1e5, -1e100])


@st.composite
def samples(draw):
    """A few rows of a few prompts, with columns that need not fit together."""
    n = draw(st.integers(1, 12))

    def column(values):
        return np.array(draw(st.lists(values, min_size=n, max_size=n)))

    policy, with_modes = draw(st.sampled_from([None, "reference", "policy"])), draw(st.booleans())
    return RecordedSamples(
        prompt=column(st.integers(0, 2)),
        prompt_texts=["a", "b", "c"],
        output=column(st.integers(0, 4)),
        output_texts=["u", "v", "w", "x", "y"],
        rewards=column(REWARDS),
        ref_log_probs=column(LOG_PROBS),
        drawn_from=policy or "reference",
        log_probs=None if policy is None else column(LOG_PROBS),
        modes=column(st.integers(-1, 2)) if with_modes else None,
        mode_names=("k", "l", "m") if with_modes else (),
    )


@settings(max_examples=60)
@given(
    samples(),
    st.sampled_from([1e-300, 1e-6, 0.1, 1e6, 1e300]),
    st.sampled_from([0.5, -2e100, 2e100, 1.0]),
    st.sampled_from(["reverse_kl", "forward_kl", "jensen_shannon", "reverse_chi_squared"]),
)
def test_nothing_that_can_be_recorded_breaks_it(recorded, beta, threshold, divergence):
    report = diagnose_samples(
        recorded, beta=beta, threshold=threshold, divergence=divergence, n_rounds=5, n_betas=3
    )
    assert report.verdict.kind in VERDICTS
    json.loads(report.to_json())
    for figures in report.overall.values():
        mass = figures["mass_good"].value
        assert np.isnan(mass) or -1e-9 <= mass <= 1 + 1e-9


def test_weights_that_cannot_be_are_told():
    """Two outputs of probability .9 each."""
    recorded = RecordedSamples(
        prompt=np.zeros(40, dtype=int),
        prompt_texts=["a"],
        output=np.arange(40) % 2,
        output_texts=["u", "v"],
        rewards=np.ones(40),
        ref_log_probs=np.log(np.full(40, 0.9)),
        drawn_from="reference",
    )
    report = diagnose_samples(recorded, beta=0.1, threshold=0.5)
    assert any("sum to more than 1" in note for note in report.notes)
