"""The page: one offline file, everything escaped, nothing loaded."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from synthetic_run import HOSTILE

from rote.records import RunFolder
from rote.report import load_view, write_report

VARIANTS = (
    "full",
    "lineup",
    "hostile_lineup",
    "pythia",
    "hostile",
    "knows_none",
    "knows_few",
    "no_window",
    "only_facts",
)
LOADING = {"src", "srcset", "data", "action", "poster", "background", "formaction", "ping", "xlink:href"}


class Page(HTMLParser):
    """Tags with attributes, texts of scripts, headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._inside: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif self._inside != "style":
            self.words.append(data)

    def figures(self) -> list[dict[str, object]]:
        return [json.loads(text) for attributes, text in self.scripts if attributes.get("class") == "plot-data"]


@pytest.fixture(scope="session")
def parsed(pages: dict[str, str]) -> dict[str, Page]:
    return {name: Page(text) for name, text in pages.items()}


each_page = pytest.mark.parametrize("name", VARIANTS)


@each_page
def test_one_file_of_moderate_size_that_loads_nothing(
    pages: dict[str, str], parsed: dict[str, Page], name: str
) -> None:
    assert len(pages[name].encode()) < 6_000_000
    for tag, attributes in parsed[name].tags:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base", "form", "image"), tag
        assert not LOADING & set(attributes), (tag, attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(key.startswith("on") for key in attributes), (tag, attributes)
    style = pages[name].split("<style>")[1].split("</style>")[0]
    assert "url(" not in style and "@import" not in style


@each_page
def test_the_policy_allows_the_two_scripts_by_hash_and_no_source_at_all(parsed: dict[str, Page], name: str) -> None:
    page = parsed[name]
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None and policy.startswith("default-src 'none'; ") and "http" not in policy
    scripts = policy.split("script-src ")[1].split(";")[0]
    assert "unsafe" not in scripts
    running = [text for attributes, text in page.scripts if attributes.get("type") != "application/json"]
    assert len(running) == 2
    for text in running:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in scripts


@each_page
def test_figures_are_json_with_data_and_have_words_beside_them(parsed: dict[str, Page], name: str) -> None:
    page = parsed[name]
    plots = [a for t, a in page.tags if t == "div" and a.get("class") == "plot"]
    figures = page.figures()
    assert len(plots) == len(figures) > 0
    for figure in figures:
        assert figure["data"], "no empty figure"
    assert all(a.get("aria-label") and a.get("role") == "img" for a in plots)
    assert sum(t == "figure" for t, _ in page.tags) == sum(t == "figcaption" for t, _ in page.tags)


@each_page
def test_headings_are_in_order_and_the_language_is_said(parsed: dict[str, Page], name: str) -> None:
    tags = parsed[name].tags
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert next(a for t, a in tags if t == "html")["lang"] == "en"
    targets = {a.get("id") for _, a in tags}
    assert all((a.get("href") or "#")[1:] in targets for t, a in tags if t == "a")


def test_hostile_names_are_shown_as_they_are_and_nowhere_as_markup(
    pages: dict[str, str], parsed: dict[str, Page]
) -> None:
    page = parsed["hostile"]
    tags = {tag for tag, _ in page.tags}
    assert tags == {tag for tag, _ in parsed["full"].tags}, "hostile strings add no kind of tag"
    scripts = [text for attributes, text in page.scripts if attributes.get("type") == "application/json"]
    assert not any(c in text for text in scripts for c in "<>&")
    words = " ".join(page.words)
    for string in (HOSTILE[0], HOSTILE[1], "{{ 7 * 7 }}{% raw %}%{x} & <b>bold</b>"):
        assert string in words
    assert "evil.example" in pages["hostile"] and "49" not in {w.strip() for w in page.words}


def test_hover_texts_carry_hostile_names_as_escaped_data(parsed: dict[str, Page]) -> None:
    hovers, templates = [], set()
    for figure in parsed["hostile"].figures():
        for trace in figure["data"]:  # type: ignore[attr-defined]
            templates.add(trace.get("hovertemplate"))
            hovers += [h for h in trace.get("customdata", ()) if isinstance(h, str)]
    assert templates <= {"%{customdata}<extra></extra>", None}
    joined = "".join(hovers)
    assert "&lt;script&gt;document.title" in joined
    assert set(re.findall(r"<[^>]*>", joined)) == {"<br>"}


def test_hover_shows_entity_layer_and_value(runs: dict[str, Path], parsed: dict[str, Page]) -> None:
    view = load_view(RunFolder.read_only(runs["full"]))
    facts = view.table("known_facts", "facts")
    assert facts is not None
    (effect,) = view.rows("direct_effects", "direct_effect", layer=4, head=2, condition="report")
    hovers = json.dumps([f["data"] for f in parsed["full"].figures()], ensure_ascii=False)
    for words in (facts["entity"].iloc[-1], f"L4H2<br>{effect.full}", "layer 3<br>"):
        assert words in hovers


def test_a_report_takes_less_than_five_seconds(runs: dict[str, Path]) -> None:
    start = time.perf_counter()
    write_report(runs["pythia"])
    assert time.perf_counter() - start < 5


def test_the_same_run_gives_the_same_page(runs: dict[str, Path], pages: dict[str, str]) -> None:
    assert write_report(runs["full"]).read_text(encoding="utf-8") == pages["full"]


def test_importing_the_report_imports_no_torch() -> None:
    probe = "import rote.report, sys; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True)
