"""Documents that are generated are as the catalog has them now."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def tables(pages):
    return pages("tables")


@pytest.fixture(scope="module")
def pages():
    """A script of docs/ as a module, with what lies beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        yield importlib.import_module


def test_the_tables_of_the_line_up_are_those_of_the_catalog(tables):
    page = (DOCS / "lineup.md").read_text(encoding="utf-8")
    assert page == tables.filled(page), "run `make docs`"


def test_an_outdated_table_would_be_noticed(tables):
    page = (DOCS / "lineup.md").read_text(encoding="utf-8")
    assert tables.filled(page.replace("| `hash_lookup` (H)", "| `hash`")) == tables.filled(page)
    assert page.replace("| `hash_lookup` (H)", "| `hash`") != tables.filled(page)


def test_a_page_without_markers_is_refused(tables):
    with pytest.raises(ValueError, match="no markers for the table 'controls'"):
        tables.filled("# The line-up\n")


def test_the_tables_of_models_are_those_of_the_code(pages):
    families = pages("families")
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    assert page == families.filled(page), "run `make docs`"
    assert page.replace("| `llama` | sequential", "| `llama` | parallel") != page
    assert families.filled(page.replace("| `llama` | sequential", "| `llama` | parallel")) == page
    with pytest.raises(ValueError, match="no markers for the table 'served'"):
        families.filled("# Models\n")
