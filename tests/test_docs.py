"""Documents that are generated are as the catalog has them now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("tables", DOCS / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def test_the_tables_of_models_are_those_of_the_code():
    spec = importlib.util.spec_from_file_location("families", DOCS / "families.py")
    families = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(families)
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    assert page == families.filled(page), "run `make docs`"
    assert page.replace("| `llama` | sequential", "| `llama` | parallel") != page
    assert families.filled(page.replace("| `llama` | sequential", "| `llama` | parallel")) == page
    with pytest.raises(ValueError, match="no markers for the table 'served'"):
        families.filled("# Models\n")
