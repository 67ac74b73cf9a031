"""`python -m release.wheel WHEEL`: a wheel holds the files of src/rote, byte for byte, and no others.

So nothing that the package reads is lacking, and nothing of an older build is in it. Exit code 1 where that is not so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from zipfile import ZipFile

SOURCE = Path(__file__).parents[1] / "src" / "rote"


def differences(wheel: Path, source: Path = SOURCE) -> list[str]:
    """A line per file that is not the same in both; the wheel's own metadata apart."""
    with ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")]
        packed = {name: archive.read(name) for name in names}
    files = (path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    there = {path.relative_to(source.parent).as_posix(): path.read_bytes() for path in files}
    lacking = [f"{name} is not in the wheel" for name in sorted(there.keys() - packed.keys())]
    strange = [f"{name} is in the wheel alone" for name in sorted(packed.keys() - there.keys())]
    changed = sorted(name for name in there.keys() & packed.keys() if there[name] != packed[name])
    return [*lacking, *strange, *(f"{name} in the wheel differs from the source" for name in changed)]


def main(wheel: Path) -> int:
    found = differences(wheel)
    print("\n".join(found) or f"{wheel.name}: {wheel.stat().st_size:,} bytes, all of src/rote")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
