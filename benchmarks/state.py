"""What has been measured so far, kept on disk after every measurement, so that a run that was stopped goes on."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


class State:
    """A JSON document addressed by keys; every change is written at once, to a temporary name first."""

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        """`identity` is what must be the same for the measurements in the file to be gone on with."""
        self.path = path
        self.data: dict[str, Any] = {"identity": identity, "parts": 0}
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            if found.get("identity") == identity:
                self.data = found
            else:
                print(f"{path.name} holds measurements of another plan or version: starting afresh", flush=True)
        self.data["parts"] += 1

    def get(self, *keys: str) -> Any:
        """The value at a path of keys; None where there is none."""
        here: Any = self.data
        for key in keys:
            if not isinstance(here, dict) or key not in here:
                return None
            here = here[key]
        return here

    def put(self, value: Any, *keys: str) -> None:
        here = self.data
        for key in keys[:-1]:
            here = here.setdefault(key, {})
        here[keys[-1]] = value
        self.save()

    def append(self, value: Any, *keys: str) -> None:
        self.put([*(self.get(*keys) or []), value], *keys)

    def drop(self, *keys: str) -> None:
        """Forget what is at a path of keys, if anything is."""
        above = self.get(*keys[:-1])
        if isinstance(above, dict) and above.pop(keys[-1], None) is not None:
            self.save()

    def save(self) -> None:
        write(self.path, self.data)


def write(path: Path, data: dict[str, Any]) -> None:
    """Write a JSON document in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    Path(name).chmod(0o644)
    Path(name).replace(path)
