"""From samples of runs to what they say."""

from polymode.diagnostics.comparison import Comparison, Settings, compare_runs
from polymode.diagnostics.runs import ReadOptions, read_runs

__all__ = ["Comparison", "ReadOptions", "Settings", "compare_runs", "read_runs"]
