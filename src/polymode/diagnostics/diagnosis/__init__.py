"""From recorded samples to a verdict: which distribution the objective asks for, and why."""

from polymode.diagnostics.diagnosis.diagnose import diagnose_samples
from polymode.diagnostics.diagnosis.report import (
    FIGURE_NAMES,
    POLICIES,
    VERDICTS,
    Budget,
    ModesKept,
    OutputTable,
    PromptTable,
    Reliability,
    Report,
    SampleSummary,
    Sweep,
    Verdict,
    WhatIf,
)
from polymode.diagnostics.diagnosis.samples import BadRows, RecordedSamples
from polymode.diagnostics.diagnosis.settings import DiagnosisSettings, VerdictLimits
from polymode.diagnostics.diagnosis.texts import Texts

__all__ = [
    "FIGURE_NAMES",
    "POLICIES",
    "VERDICTS",
    "BadRows",
    "Budget",
    "DiagnosisSettings",
    "ModesKept",
    "OutputTable",
    "PromptTable",
    "RecordedSamples",
    "Reliability",
    "Report",
    "SampleSummary",
    "Sweep",
    "Texts",
    "Verdict",
    "VerdictLimits",
    "WhatIf",
    "diagnose_samples",
]
