"""From samples of runs to what they say."""

from polymode.diagnostics.comparison import (
    Compared,
    Comparison,
    ComparisonSettings,
    compare_runs,
)
from polymode.diagnostics.pairs import Pair
from polymode.diagnostics.recorded import Limits, SampleOptions, parse_columns, read_samples
from polymode.diagnostics.records import Curve, Exact, Found, Promise, Run, Samples
from polymode.diagnostics.results import comparison_dict
from polymode.diagnostics.runs import ReadOptions, read_runs

__all__ = [
    "Compared",
    "Comparison",
    "ComparisonSettings",
    "Curve",
    "Exact",
    "Found",
    "Limits",
    "Pair",
    "Promise",
    "ReadOptions",
    "Run",
    "SampleOptions",
    "Samples",
    "compare_runs",
    "comparison_dict",
    "parse_columns",
    "read_runs",
    "read_samples",
]
