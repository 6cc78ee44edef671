"""Recorded samples as they are read: files, folders, runs, frames."""

from polymode.diagnostics.recorded.columns import NAMES, parse_columns
from polymode.diagnostics.recorded.limits import Limits
from polymode.diagnostics.recorded.options import SampleOptions
from polymode.diagnostics.recorded.reading import read_samples

__all__ = ["NAMES", "Limits", "SampleOptions", "parse_columns", "read_samples"]
