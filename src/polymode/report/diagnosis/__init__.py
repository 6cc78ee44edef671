"""A diagnosis as a page."""

from polymode.report.diagnosis.page import diagnosis_page

__all__ = ["diagnosis_page"]
