"""The report: rows and tables in, a typed document, text and one offline HTML page out. No torch."""

from __future__ import annotations

from rote.page.document import Document
from rote.page.html import html_of
from rote.page.text import text_of
from rote.page.view import View
from rote.report.assemble import build_document
from rote.report.comparison.runs import compare, render_comparison
from rote.report.load import load_view
from rote.report.write import lead_text, render_text, write_report
