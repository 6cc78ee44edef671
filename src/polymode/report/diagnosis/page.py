"""The page of a diagnosis."""

from collections.abc import Mapping

from polymode.diagnostics.diagnosis import Report
from polymode.report.page import page

__all__ = ["diagnosis_page"]


def diagnosis_page(report: Report, *, facts: Mapping[str, str] | None = None) -> str:
    """Return the HTML page of a diagnosis.

    Parameters
    ----------
    report : Report
        What was found.
    facts : mapping of str to str, or None
        Shown at the foot.

    Returns
    -------
    str
        See `polymode.report.page`.

    Raises
    ------
    MissingExtraError
        Without jinja2.
    """
    verdict = (report.verdict.sentence, report.verdict.advice)
    return page(
        report.verdict.title,
        (),
        subtitle="Which distribution does this objective ask for?",
        verdict=[line for line in verdict if line],
        facts=facts,
    )
