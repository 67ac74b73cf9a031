"""The tools that are compared, one module each; a module is imported only in the environment of its tool."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from benchmarks.tools.tool import Tool

__all__ = ["TOOLS", "Entry", "Tool", "entry_named", "make"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A tool by name: the module of its class, the packages whose versions are reported, its requirements file.

    `crosscheck` tells whether the cross-check asks it too. No requirements: it lives in rote's own environment.
    `only`: the workloads that it does, where it does not do all. `of`: the entry in whose process and environment it
    is another way to ask; `last_only`: it then asks for the last position's logits alone.
    """

    name: str
    title: str
    packages: tuple[str, ...] = ()
    requirements: str | None = None
    crosscheck: bool = False
    only: tuple[str, ...] | None = None
    of: str | None = None
    last_only: bool = False

    def does(self, workload: str) -> bool:
        """Whether it is asked for a workload."""
        return self.only is None or workload in self.only


TOOLS = (
    Entry(name="rote", title="rote", packages=("rote-lm", "transformers", "torch"), crosscheck=True),
    Entry(
        name="hooks",
        title="raw Hugging Face with hooks",
        packages=("transformers", "torch"),
        crosscheck=True,
    ),
    Entry(
        name="hooks_batched",
        title="raw hooks, many neurons in a pass",
        packages=("transformers", "torch"),
        only=("neurons",),
    ),
    Entry(
        name="transformer_lens_4",
        title="TransformerLens 4.3 (TransformerBridge)",
        packages=("transformer-lens", "transformers", "torch"),
        requirements="requirements-transformer_lens_4.txt",
        crosscheck=True,
    ),
    Entry(
        name="transformer_lens_4_last",
        title="TransformerLens 4.3, last logits only",
        of="transformer_lens_4",
        only=("neurons", "paths", "heads"),
        last_only=True,
    ),
    Entry(
        name="transformer_lens_2",
        title="TransformerLens 2 (HookedTransformer)",
        packages=("transformer-lens", "transformers", "torch"),
        requirements="requirements-transformer_lens_2.txt",
        crosscheck=True,
    ),
    Entry(
        name="nnsight",
        title="nnsight 0.8",
        packages=("nnsight", "transformers", "torch"),
        requirements="requirements-nnsight.txt",
        crosscheck=True,
    ),
    Entry(
        name="nnsight_last",
        title="nnsight 0.8, last logits only",
        of="nnsight",
        only=("neurons", "paths", "patching"),
        last_only=True,
    ),
    Entry(
        name="pyvene",
        title="pyvene",
        packages=("pyvene", "transformers", "torch"),
        requirements="requirements-pyvene.txt",
    ),
)


def entry_named(name: str) -> Entry:
    """The entry of that name; KeyError with the known ones otherwise."""
    known = {entry.name: entry for entry in TOOLS}
    if name not in known:
        raise KeyError(f"no tool is called {name!r}; there are {', '.join(known)}")
    return known[name]


def make(name: str) -> Tool:
    """The tool itself; only inside its own environment."""
    module = import_module(f"benchmarks.tools.{entry_named(name).name}")
    found = [x for x in vars(module).values() if isinstance(x, type) and issubclass(x, Tool) and x is not Tool]
    mine = [x for x in found if x.__module__ == module.__name__]
    assert len(mine) == 1, f"{module.__name__} has {len(mine)} tools; expected one"
    return mine[0]()
