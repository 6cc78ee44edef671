"""`polymode.diagnose`: which distribution an objective asks for, why, and what would mend it.

The numbers come from `polymode.diagnostics`, which knows no page and no plot; here they meet those
that show them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from polymode.diagnostics.diagnosis import RecordedSamples, Report, diagnose_samples
from polymode.diagnostics.recorded import SampleOptions, read_samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from polymode.core import Divergence
    from polymode.metrics.modes import ModeFunction

__all__ = ["Diagnosis", "diagnose"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Diagnosis(Report):
    """A report that can show itself.

    See Also
    --------
    polymode.diagnostics.diagnosis.Report : What it holds.
    """

    @classmethod
    def of(cls, report: Report) -> "Diagnosis":
        """Return a report as one that can show itself.

        Parameters
        ----------
        report : Report
            What was found.

        Returns
        -------
        Diagnosis
            The same.
        """
        return cls(**{field.name: getattr(report, field.name) for field in fields(Report)})

    def to_html(self, *, facts: Mapping[str, str] | None = None) -> str:
        """Return the report as one HTML page that loads nothing.

        Parameters
        ----------
        facts : mapping of str to str, or None
            Shown at the foot.

        Returns
        -------
        str
            To be written as UTF-8.

        Raises
        ------
        MissingExtraError
            Without jinja2.
        """
        from polymode.report.diagnosis import diagnosis_page

        return diagnosis_page(self, facts=facts)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the page in a frame, so that neither style meets."""
        from html import escape

        page = escape(self.to_html(), quote=True)
        style = "width: 100%; height: 80vh; border: 0"
        return f'<iframe srcdoc="{page}" sandbox="allow-scripts" style="{style}"></iframe>'

    def plot(self) -> "Figure":
        """Return a figure: the budget of diversity, and the target along beta.

        Returns
        -------
        matplotlib.figure.Figure
            With two axes.

        Raises
        ------
        MissingExtraError
            Without matplotlib.
        """
        from polymode.plots.diagnosis import budget_data, diagnosis_figure, sweep_data

        return diagnosis_figure(budget_data(self.budget), sweep_data(self.sweep, self.settings))


def diagnose(
    samples: Any,
    *,
    beta: float,
    threshold: float,
    divergence: "str | Divergence" = "reverse_kl",
    mode: "str | ModeFunction | None" = None,
    reading: SampleOptions | None = None,
    **options: Any,
) -> Diagnosis:
    """Return which distribution an objective asks for, whether it is collapsed, and why.

    Parameters
    ----------
    samples : RecordedSamples, path, frame, mapping of columns or list of mappings
        Samples of the reference or of the current policy, as
        `polymode.diagnostics.read_samples` takes them.
    beta : float
        Strength of the regulariser, in reward units per nat; finite and > 0.
    threshold : float
        Rewards at or above it are good, in reward units.
    divergence : str or Divergence
        Which divergence regularises.
    mode : str, callable or None
        What counts as the same answer, from the text of an output: see
        `polymode.metrics.mode_function`; where samples are read, also one of their columns. None
        takes the modes of the samples.
    reading : SampleOptions or None
        How samples are read that are no `RecordedSamples` yet: names of columns, bad rows.
    **options
        Other fields of `polymode.diagnostics.diagnosis.DiagnosisSettings`.

    Returns
    -------
    Diagnosis
        The verdict first: ``.verdict.sentence``.

    Raises
    ------
    ArgumentError
        If `samples` are none, or a setting is out of its range. Lists everything that is wrong.
    InputError
        If there is nothing that can be read, a column is missing, or rows cannot be used.
    MissingExtraError
        If arviz-stats is not installed.

    See Also
    --------
    polymode.diagnostics.diagnosis.diagnose_samples : The same without pages and plots.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817.
    """
    if not isinstance(samples, RecordedSamples):
        reading = reading or SampleOptions()
        samples = read_samples(samples, reading if mode is None else replace(reading, mode=mode))
        mode = None
    found = diagnose_samples(
        samples, beta=beta, threshold=threshold, divergence=divergence, mode=mode, **options
    )
    return Diagnosis.of(found)
