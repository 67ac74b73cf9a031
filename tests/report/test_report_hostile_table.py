"""A table of facts full of markup, from the file through the command line to what a browser makes of the report."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from test_report_in_chromium import CHROMIUM, OPTIONS
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from rote.cli import main as cli
from rote.model.load import hush
from rote.page import html as as_html
from rote.report import compare, write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

# no blanks, so that each is one token of the model; HOST is a server that listens
WORDS = (
    "<script>document.title='broken'</script>",
    "</script><script>fetch('HOST/fetch')</script>",
    "</title></style></textarea><script>document.title='broken'</script>",
    "<img/src=HOST/img/onerror=document.title='broken'>",
    "<svg/onload=document.title='broken'>",
    "<iframe/src=HOST/frame></iframe>",
    "<link/rel=stylesheet/href=HOST/link>",
    "<style>@import'HOST/style';</style>",
    "<base/href=HOST/base>",
    "<a/href=javascript:document.title='broken'>click</a>",
    "javascript:document.title='broken'",
    "\"onmouseover=\"document.title='broken'",
    "'><details/open/ontoggle=document.title='broken'>",
    "{{7*7}}",
    "{%raw%}{{self}}{%endraw%}",
    "${7*7}",
    "%{customdata}<extra></extra>",
    "]]>--><!--",
    "&lt;script&gt;&#x3c;img&#x3e;",
    "\\u003cscript\\u003e",
)
CLASSES = (WORDS[0], WORDS[3], WORDS[13])
RELATION = "</script><script>document.title='broken'</script>{{7*7}}<img/src=HOST/relation>"
TEMPLATE = f"{WORDS[1]} {{}} {WORDS[4]}"


class Server(ThreadingHTTPServer):
    """Counts who asks."""

    daemon_threads = True
    hits: list[str]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.hits.append(self.path)
        self.send_response(404)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.hits = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def model_of(words: list[str], folder: Path) -> Path:
    """A model with random weights, for which every word is a token."""
    hush()
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<unk>", "<b>bos</b>", *words])}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    special = {"bos_token": "<b>bos</b>", "unk_token": "<unk>", "pad_token": "<pad>"}
    PreTrainedTokenizerFast(tokenizer_object=backend, **special).save_pretrained(folder)
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32, initializer_range=0.3,
    )  # fmt: skip
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def run(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of the hostile table in which every fact counts as known, so that no section is left out for that."""
    root = tmp_path_factory.mktemp("hostile")
    host = f"http://127.0.0.1:{server.server_port}"
    words = [word.replace("HOST", host) for word in WORDS]
    model = model_of(words, root / "<img src=x onerror=alert(1)>")
    relation, template = RELATION.replace("HOST", host), TEMPLATE.replace("HOST", host)
    classes = [c.replace("HOST", host) for c in CLASSES]
    names = [f"{first} {last}" for i, first in enumerate(words) for last in words[i % 3 :: 8]]
    rows = [
        {"entity": name, "relation": relation, "attribute": classes[i % 3], "template": template}
        for i, name in enumerate(names)
    ]
    facts, settings = root / "{{7*7}}.jsonl", root / "s.json"
    facts.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    small = {"n_bootstrap": 20, "max_entities": 12, "product_side": 4, "n_top_heads": 2, "n_resamples_ablation": 1}
    experiments = "known_facts,direct_effects,head_attention,readout,lookup_window,effective_model,class_neurons"
    settings.write_text(json.dumps({**small, "known_probability": 1e-9, "min_known": 8}), encoding="utf-8")
    given = ["study", str(model), "--facts", str(facts), "--out", str(root / "run"), "--settings", str(settings)]
    before, sys.argv = sys.argv, ["rote", *given, "--controls", "additive", "--experiments", experiments, "--quiet"]
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code
    finally:
        sys.argv = before
    return root / "run"


class Dom(HTMLParser):
    """What a browser made of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def findings(page: Path, profile: Path, server: Server, patience_s: int = 120) -> list[str]:
    """All that a hostile string has achieved in a browser; nothing, in a report."""
    assert CHROMIUM is not None
    server.hits.clear()
    reachable = [o.replace("~NOTFOUND", "~NOTFOUND,EXCLUDE 127.0.0.1") for o in OPTIONS]
    try:
        done = subprocess.run(
            [CHROMIUM, *reachable, f"--user-data-dir={profile}", page.as_uri()],
            capture_output=True, text=True, timeout=patience_s, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [*(f"request {path}" for path in server.hits), "the page never came to rest"]
    dom = Dom(done.stdout)
    tags = [tag for tag, _ in dom.tags]
    own = [a for tag, a in dom.tags if tag == "script" and a.get("type") != "application/json"]
    found = [f"request {path}" for path in server.hits]
    found += [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    found += [f"{len(own)} scripts"] if len(own) not in (0, 2) or any(own) else []
    found += [f"tag {tag}" for tag in {"img", "iframe", "base", "details", "object", "link", "form"} & set(tags)]
    found += [f"attribute {key}" for _, a in dom.tags for key in a if key.startswith("on")]
    links = [a.get("href") or a.get("xlink:href") for tag, a in dom.tags if tag == "a"]
    found += [f"link {link}" for link in links if link and not link.startswith("#")]
    found += ["a script has run"] if "<title>broken</title>" in done.stdout else []
    return found


def test_the_report_shows_the_table_and_obeys_none_of_it(run: Path, server: Server, tmp_path: Path) -> None:
    page = run / "report.html"
    assert findings(page, tmp_path, server) == []
    host = f"http://127.0.0.1:{server.server_port}"
    text = "".join(Dom(page.read_text(encoding="utf-8")).words)
    assert RELATION.replace("HOST", host) in text and TEMPLATE.replace("HOST", host) in text
    shown = [word for word in WORDS if word.replace("HOST", host) in text]
    assert len(shown) >= 3  # the classes and what the template holds, as they were written
    assert "{{7*7}}" in text and "{{49}}" not in text


def test_the_comparison_obeys_none_of_it_either(run: Path, server: Server, tmp_path: Path) -> None:
    page = compare(run, run, out=tmp_path / "{{7*7}}<svg onload=alert(1)>.html".replace("/", "-"))
    assert findings(page, tmp_path / "profile", server) == []


def test_the_check_sees_what_escaping_prevents(
    run: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: with escaping off the same table does harm, and with the policy alone none runs or asks."""
    open_environment = as_html._environment().overlay(autoescape=False, cache_size=0)
    monkeypatch.setattr(as_html, "_environment", lambda: open_environment)
    policed = tmp_path / "policed.html"
    policed.write_bytes(write_report(run).read_bytes())
    found = findings(policed, tmp_path / "a", server)
    assert any(line.endswith("scripts") for line in found)
    assert "a script has run" not in found and not [line for line in found if line.startswith("request")]
    monkeypatch.setattr(as_html, "_policy", lambda *scripts: "")
    open_page = tmp_path / "open.html"
    open_page.write_bytes(write_report(run).read_bytes())
    found = findings(open_page, tmp_path / "b", server, patience_s=20)  # it may never come to rest
    assert [line for line in found if line.startswith("request")]
    monkeypatch.undo()
    write_report(run)


def test_the_check_sees_a_script_that_runs(server: Server, tmp_path: Path) -> None:
    """The positive control for the words alone: written into a page as they are, they do run."""
    page = tmp_path / "open.html"
    for word, sees in ((WORDS[0], "a script has run"), (WORDS[4], "a script has run"), (WORDS[9], "link javascript:")):
        page.write_text(f"<!DOCTYPE html><title>page</title><p>{word}</p>", encoding="utf-8")
        assert any(line.startswith(sees) for line in findings(page, tmp_path / "profile", server)), word
