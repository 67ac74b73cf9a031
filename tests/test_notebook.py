"""examples/lineup.ipynb: its cells run from a clean start, its outputs are stored, and its verdicts are true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "lineup.ipynb"
CELLS = [c for c in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]


def outputs(cell: dict) -> list[dict]:
    return cell["outputs"]


def test_every_cell_was_executed_in_order_without_error_or_warning():
    assert [cell["execution_count"] for cell in CELLS] == list(range(1, len(CELLS) + 1))
    for cell in CELLS:
        for output in outputs(cell):
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", output["text"]


def test_the_outputs_name_no_place_of_the_machine_that_made_them():
    text = json.dumps([outputs(cell) for cell in CELLS])
    assert not re.search(r"/(home|root|tmp|work|usr|Users|private)/|site-packages", text)


@pytest.fixture(scope="module")
def names(capfd_module):
    """What the cells leave behind, executed as plain Python."""
    found: dict = {}
    for cell in CELLS:
        exec(compile("".join(cell["source"]), f"<cell {cell['id']}>", "exec"), found)
    return found


@pytest.fixture(scope="module")
def capfd_module():
    """Plotly's and pandas's settings are the process's: as they were, afterwards."""
    import pandas as pd
    import plotly.io

    renderer, width = plotly.io.renderers.default, pd.options.display.max_colwidth
    yield
    plotly.io.renderers.default = renderer
    pd.options.display.max_colwidth = width
    pd.reset_option("display.float_format")


def test_fresh_seeds_of_known_controls_are_judged_rightly(names):
    verdict = {name: names["judged"](position).verdict for name, position in names["fresh"].items()}
    assert verdict["hash_lookup"] == "consistent"
    assert verdict["single_step"] == verdict["parallel"] == "inconsistent"


def test_the_study_ends_in_verdicts_on_the_same_figures(names):
    outcomes, run = names["outcomes"], names["run"]
    cell = outcomes[(outcomes["hypothesis"] == "hash_and_lookup") & (outcomes["statistic"] == "path_share")]
    cell = cell[cell["condition"] == "additive"]
    assert float(cell["value"].iloc[0]) == pytest.approx(names["effective"].value, abs=1e-6)
    assert set(run.summary["stack"]) == {"model", "effective", *(control.name for control in names["lineup"])}
    assert (run.path / "report.html").is_file()
