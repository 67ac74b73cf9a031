"""The page in a browser: drawn without an error, and no wider than its window."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rote.report import compare

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # any request for a host would fail aloud in the console
    "--enable-logging=stderr", "--v=0", "--virtual-time-budget=8000", "--dump-dom",
)  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

FRAME = """<!DOCTYPE html><title>measuring</title>
<style>iframe { height: 900px; border: 0 }</style>
FRAMES
<script>
window.addEventListener("load", function () {
  document.title = Array.from(document.querySelectorAll("iframe"), function (frame) {
    var page = frame.contentDocument.documentElement;
    return frame.width + (page.scrollWidth > page.clientWidth ? " too wide" : " fits");
  }).join(", ");
});
</script>"""


def browse(page: Path, profile: Path) -> tuple[str, list[str]]:
    """The document after its scripts have run, and what the console said."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


@pytest.mark.parametrize("name", ["full", "hostile", "text", "hostile_text", "lineup"])
def test_every_figure_is_drawn_and_the_console_is_silent(
    runs: dict[str, Path], pages: dict[str, str], tmp_path: Path, name: str
) -> None:
    dom, console = browse(runs[name] / "report.html", tmp_path)
    assert console == []
    expected = pages[name].count('class="plot-data"')
    assert f'data-plots-drawn="{expected}"' in dom
    assert dom.count('class="main-svg"') >= expected
    title = re.search(r"<title>(.*?)</title>", dom)
    assert title is not None and title.group(1).startswith("How ")


def test_the_page_is_no_wider_than_its_window(runs: dict[str, Path], tmp_path: Path) -> None:
    pages = [
        runs[name] / "report.html" for name in ("full", "hostile", "text", "hostile_text", "lineup", "hostile_lineup")
    ]
    pages.append(compare(runs["lineup"], runs["hostile_lineup"], out=tmp_path / "compare.html"))
    pages.append(compare(runs["lineup"], runs["lineup"], runs["lineup"], out=tmp_path / "three.html"))
    frames = (f'<iframe width="{width}" src="{page.as_uri()}"></iframe>' for page in pages for width in (400, 1280))
    page = tmp_path / "frames.html"
    page.write_text(FRAME.replace("FRAMES", "".join(frames)), encoding="utf-8")
    dom, _ = browse(page, tmp_path / "profile")
    assert "<title>" + ", ".join(["400 fits, 1280 fits"] * 8) + "</title>" in dom
