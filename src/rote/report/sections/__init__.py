"""The report's sections: one file per experiment draws from rows and tables alone; the frame is here."""

from __future__ import annotations

from rote.report.sections.frame import SECTIONS, experiment_sections

__all__ = ["SECTIONS", "experiment_sections"]
