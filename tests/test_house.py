"""The house: what keeps thirty experiments findable."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import grimp
import networkx
import pytest

import rote
from rote.experiments import ENTRIES
from rote.toys import TOYS

ROOT = Path(rote.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def cycles(package: str) -> list[set[str]]:
    """Modules that import each other in a circle, imports for types alone among them."""
    graph, found = grimp.build_graph(package, cache_dir=None), networkx.DiGraph()
    for module in graph.modules - {package}:
        found.add_edges_from((module, other) for other in graph.find_modules_directly_imported_by(module) - {package})
    return [set(part) for part in networkx.strongly_connected_components(found) if len(part) > 1]


@pytest.mark.parametrize("package", ["rote", "calibration", "benchmarks", "chaos"])
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    assert cycles(package) == []


def test_a_circle_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ringed").mkdir()
    for name, text in (("__init__", ""), ("a", "import ringed.b"), ("b", "import ringed.c"), ("c", "import ringed.a")):
        (tmp_path / "ringed" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cycles("ringed") == [{"ringed.a", "ringed.b", "ringed.c"}]


def test_no_public_class_has_its_name_twice() -> None:
    names = Counter(
        node.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert names["Experiment"] == 1 and [name for name, n in names.items() if n > 1] == []


def test_few_files_lie_loose_and_none_is_too_long() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 4
    assert [str(p.relative_to(ROOT)) for p in FILES if len(p.read_text("utf-8").splitlines()) > 400] == []


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_an_experiment_is_one_folder_and_one_line(entry: object) -> None:
    room = ROOT / "experiments" / entry.name  # type: ignore[attr-defined]
    assert {"__init__.py", "card.py", "measure.py", "section.py"} <= {path.name for path in room.iterdir()}
    elsewhere = [p for p in FILES if entry.name in p.read_text("utf-8") and room not in p.parents]  # type: ignore[attr-defined]
    assert ROOT / "experiments" / "__init__.py" in elsewhere


@pytest.mark.parametrize("toy", TOYS, ids=lambda t: t.name)
def test_a_toy_is_one_folder_and_one_line(toy: object) -> None:
    room = ROOT / "toys" / toy.name  # type: ignore[attr-defined]
    assert {"__init__.py", "card.py", "toy.py", "section.py", "lead.py"} <= {path.name for path in room.iterdir()}
