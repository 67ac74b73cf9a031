"""What is released: the distribution's name, also where the documents say how to install it, and what a wheel holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from release.wheel import SOURCE, differences, main

import rote

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# `rote` alone is somebody else's distribution.
STRANGER = re.compile(r"""pip\s+install\s(?:[^`\n&;|#]*[\s'"])?rote(?!-lm)\b|\brote\[[a-z]""")


def test_the_version_is_that_of_the_distribution_in_pyproject():
    assert PROJECT["project"]["name"] == "rote-lm"
    assert rote.__version__ == PROJECT["project"]["version"]


def test_nowhere_is_the_package_of_a_stranger_installed():
    pages = [p for folder in ("docs", "src", "examples") for p in (ROOT / folder).rglob("*") if p.is_file()]
    texts = {p: p.read_bytes().decode("utf-8", "replace") for p in [*pages, *ROOT.glob("*.md")]}
    assert [str(p.relative_to(ROOT)) for p, text in texts.items() if STRANGER.search(text)] == []
    assert sum("rote-lm[" in text for text in texts.values()) >= 3  # it was looked where this is said


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("pip install rote", True),
        ("`pip install\nrote`", True),
        ("pip install 'rote[ray]'", True),
        ('pip install --upgrade "rote>=0.1"', True),
        ("with `rote[ray]` installed", True),
        ("pip install rote-lm && rote demo  # the command is rote", False),
        ("pip install 'rote-lm[ray]' then `rote demo`", False),
        ("with `rote-lm[ray]` installed", False),
        ('seconds = rote["seconds"]', False),
    ],
)
def test_a_wrong_name_would_be_noticed(text: str, wrong: bool):
    assert bool(STRANGER.search(text)) == wrong


@pytest.fixture
def packed() -> dict[str, bytes]:
    """What setuptools packs: modules, py.typed and the globs of pyproject.toml."""
    globs = PROJECT["tool"]["setuptools"]["package-data"]["rote"]
    files = [p for glob in ("**/*.py", "py.typed", *globs) for p in SOURCE.glob(glob)]
    return {f"rote/{p.relative_to(SOURCE).as_posix()}": p.read_bytes() for p in files}


@pytest.fixture
def wheel(tmp_path: Path):
    """Files as a wheel, which has its metadata beside them."""

    def written(files: dict[str, bytes]) -> Path:
        path = tmp_path / "rote_lm-0.1.0-py3-none-any.whl"
        with ZipFile(path, "w") as archive:
            for name, content in {**files, "rote_lm-0.1.0.dist-info/METADATA": b"Name: rote-lm"}.items():
                archive.writestr(name, content)
        return path

    return written


def test_what_pyproject_packs_is_all_that_there_is(packed, wheel, capsys):
    path = wheel(packed)
    assert differences(path) == []
    assert main(path) == 0 and "all of src/rote" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [
        "catalog/certification.json",
        "facts/athletes.csv",
        "organisms/bundled/model.safetensors",
        "py.typed",
        "page/templates/report.html.j2",
        "toys/memorisation/sparsity.py",
    ],
)
def test_what_is_lacking_is_told(packed, wheel, capsys, name: str):
    del packed[f"rote/{name}"]
    assert main(wheel(packed)) == 1
    assert capsys.readouterr().out == f"rote/{name} is not in the wheel\n"


def test_what_is_older_or_of_elsewhere_is_told(packed, wheel):
    packed |= {"rote/facts/athletes.csv": b"entity\n", "rote/gone.py": b"", "tests/test_demo.py": b""}
    assert differences(wheel(packed)) == [
        "rote/gone.py is in the wheel alone",
        "tests/test_demo.py is in the wheel alone",
        "rote/facts/athletes.csv in the wheel differs from the source",
    ]
