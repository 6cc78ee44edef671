"""Runs as they lie on the disk: one module for each kind of program that writes them."""

from polymode.diagnostics.runs.reading import ReadOptions, read_runs
from polymode.diagnostics.runs.reinvent import ReinventColumns, reinvent_csv

__all__ = ["ReadOptions", "ReinventColumns", "read_runs", "reinvent_csv"]
