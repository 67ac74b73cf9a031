"""log.txt has stages, shards and warnings of every command that worked there; the user's logging stays as it was."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest

from rote.records import RunLog
from rote.records.log import story


def test_the_log_is_appended_to_and_leaves_logging_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("rote")
    before = logger.level, logger.handlers[:], story.level, story.propagate, warnings.showwarning
    for word in ("first", "second"):
        with RunLog(tmp_path / "log.txt"):
            story.info("%s stage", word)
            logging.getLogger("rote.records.folder").warning("a record is damaged")
            logging.getLogger("rote.records.folder").info("not asked for")
            with pytest.warns(UserWarning, match="odd"):
                warnings.warn("odd", stacklevel=1)
    text = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert [line.split()[-2:] for line in text.splitlines() if "stage" in line] == [
        ["first", "stage"],
        ["second", "stage"],
    ]
    assert text.count("WARNING a record is damaged") == 2 and "not asked for" not in text
    assert (logger.level, logger.handlers, story.level, story.propagate, warnings.showwarning) == before
    story.info("after the run")
    assert "after" not in (tmp_path / "log.txt").read_text(encoding="utf-8")


def test_python_warnings_are_logged_and_still_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        shown: list[str] = []
        warnings.showwarning = lambda message, *rest, **more: shown.append(str(message))
        with RunLog(tmp_path / "log.txt"):
            warnings.warn("odd weights", stacklevel=1)
    assert shown == ["odd weights"]
    assert "UserWarning: odd weights" in (tmp_path / "log.txt").read_text(encoding="utf-8")


def test_the_story_reaches_whoever_asks_for_it_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="rote"), RunLog(tmp_path / "log.txt"):
        story.info("a stage")
    assert [record.getMessage() for record in caplog.records] == ["a stage"]
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").count("a stage") == 1
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="rote"), RunLog(tmp_path / "log.txt"):
        story.info("a stage")
    assert not caplog.records


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunLog(tmp_path / "no" / "such" / "folder" / "log.txt"):
        story.info("a stage")
        story.info("another")
    if Path("/dev/full").exists():
        with RunLog(Path("/dev/full")):
            story.info("a stage")
    assert "Traceback" not in capsys.readouterr().err
