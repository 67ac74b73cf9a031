"""Pages that are part prose, part tables made from the code: the tables between their markers."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def filled(text: str, tables: Mapping[str, Callable[[], str]], source: str) -> str:
    """The page with every table made anew; ValueError where a marker is missing."""
    for name, table in tables.items():
        begin, end = f"<!-- {name}: from the {source}, by `make docs` -->\n", f"\n<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"the page has no markers for the table {name!r}: expected {begin!r} and {end!r}")
        text = before + begin + table() + end + after
    return text
