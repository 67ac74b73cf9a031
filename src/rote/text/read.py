"""`read_text`: files in UTF-8 as a text, whose identity is their content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from rote.errors import TextError


@dataclass(frozen=True, kw_only=True)
class Text:
    """Running text: one string per file, and what to call it in tables and reports."""

    name: str
    documents: tuple[str, ...]

    @cached_property
    def hash(self) -> str:
        """sha256 over every document's length and content, in their order."""
        digest = sha256()
        for document in self.documents:
            content = document.encode("utf-8", "surrogatepass")
            digest.update(len(content).to_bytes(8, "big"))
            digest.update(content)
        return digest.hexdigest()


def read_text(source: str | Path | Sequence[str | Path]) -> Text:
    """The files of a text, taken as they are: nothing is stripped, line ends are kept.

    Errors: `TextError` with one sentence for every file that is missing, not UTF-8, or empty.
    """
    paths = [Path(source)] if isinstance(source, (str, Path)) else [Path(path) for path in source]
    problems: list[str] = [] if paths else ["no file of text was given"]
    documents = []
    for path in paths:
        try:
            content = path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            problems.append(f"cannot read the text {path}: {error.strerror or error}")
        except UnicodeDecodeError as error:
            problems.append(f"{path} is no text in UTF-8: byte {error.start} is {error.object[error.start]:#04x}")
        else:
            documents.append(content)
            if not content.strip():
                problems.append(f"{path} holds no text")
    if problems:
        raise TextError(problems)
    return Text(name=", ".join(path.name for path in paths), documents=tuple(documents))
