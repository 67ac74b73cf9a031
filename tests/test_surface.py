"""The public surface: lazy, curated, and torch-free where it says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rote

BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers"):
            raise ImportError(name + " is not here")
sys.meta_path.insert(0, Block())
"""


def without_torch(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, timeout=120)


def test_every_public_name_is_there_and_is_no_module():
    for name in rote.__all__:
        value = getattr(rote, name)
        assert name == "experiments" or type(value).__name__ != "module", name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        rote.nonsense  # noqa: B018


def test_import_alone_loads_no_torch():
    code = "import sys, rote; assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


LIGHT = "facts text records statistics execute catalog page experiments toys judge report pipeline.run cli cli.main"


@pytest.mark.parametrize("module", LIGHT.split())
def test_what_is_below_the_line_imports_without_torch(module: str):
    done = without_torch(f"import rote.{module}")
    assert done.returncode == 0, done.stderr


def test_the_block_blocks():
    assert "torch is not here" in without_torch("import rote.model").stderr


@pytest.mark.parametrize(
    "arguments", [[], ["experiments"], ["report", "--help"], ["judge", "--help"], ["organism", "list"]]
)
def test_commands_that_need_no_model_run_without_torch(arguments: list[str]):
    done = without_torch(f"sys.argv = ['rote', *{arguments!r}]\nfrom rote.cli.main import main\nmain()")
    assert "Traceback" not in done.stderr
    assert done.stdout
