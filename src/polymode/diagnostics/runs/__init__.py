"""Runs as they lie on the disk: one module for each kind of program that writes them."""

from polymode.diagnostics.runs.reading import ReadOptions, read_runs

__all__ = ["ReadOptions", "read_runs"]
