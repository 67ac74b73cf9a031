"""Files of text, strings cut from them, and kinds of token: exact rules on made-up text and on real tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rote.errors import TextError
from rote.organisms.tokenizer import build_tokenizer
from rote.text import CATEGORIES, Text, categories, cut_strings, read_text
from rote.text.categories import common_words

SHARED = Path(__file__).parents[3] / "shared" / "data"
WIKITEXT = SHARED / "text" / "wikitext2_valid_test" / "valid.txt"


def test_files_are_read_as_they_are_and_known_by_their_content(tmp_path: Path) -> None:
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_bytes("\ufeffOne line.\r\n Zwölf \n".encode())
    b.write_bytes(b"two")
    text = read_text([a, str(b)])
    assert text.documents == ("One line.\r\n Zwölf \n", "two")
    assert text.name == "a.txt, b.txt"
    assert read_text(b).documents == ("two",)
    assert text.hash == Text(name="other", documents=text.documents).hash
    joined = Text(name="joined", documents=("".join(text.documents),))
    swapped = Text(name="swapped", documents=text.documents[::-1])
    assert len({text.hash, joined.hash, swapped.hash}) == 3


def test_everything_that_is_wrong_with_files_is_told_at_once(tmp_path: Path) -> None:
    latin, empty = tmp_path / "latin.txt", tmp_path / "empty.txt"
    latin.write_bytes(b"caf\xe9 au lait")
    empty.write_text(" \n ")
    with pytest.raises(TextError) as caught:
        read_text([tmp_path / "missing.txt", latin, empty])
    missing, not_utf8, nothing = caught.value.problems
    assert "missing.txt" in missing and "No such file" in missing
    assert "latin.txt" in not_utf8 and "byte 3 is 0xe9" in not_utf8
    assert "empty.txt holds no text" in nothing
    with pytest.raises(TextError, match="no file"):
        read_text([])


def test_each_kind_of_token() -> None:
    text = "The cat, then theatre; 3rd. U.S.\n\n  É x"
    pieces = [
        ("The", "common_word"), (" cat", "alphabetic"), (",", "comma"), (" the", "alphabetic"), ("n", "alphabetic"),
        (" the", "alphabetic"), ("atre", "alphabetic"), (";", "other"), (" 3", "other"), ("rd", "alphabetic"),
        (".", "full_stop"), (" U", "alphabetic"), (".", "full_stop"), ("S.", "other"), ("\n\n", "newline"),
        (" ", "other"), (" É", "alphabetic"), (" x", "alphabetic"),
    ]  # fmt: skip
    spans, at = [], 0
    for piece, _ in pieces:
        spans.append((at, at + len(piece)))
        at += len(piece)
    assert "".join(piece for piece, _ in pieces) == text
    found = categories(text, spans, frozenset({"the"}))
    assert found == [kind for _, kind in pieces]
    assert set(found) == set(CATEGORIES)
    trimmed = [
        (a + len(p) - len(p.lstrip(" ")) if p.strip() else a, b) for (a, b), (p, _) in zip(spans, pieces, strict=True)
    ]
    assert categories(text, trimmed, frozenset({"the"})) == found  # tokenizers that trim blanks agree


def test_common_words_are_counted_over_all_documents() -> None:
    assert common_words(["B b a_c x1", "The the, b! a"], 3) == {"b", "the", "a"}
    assert common_words(["b a"], 1) == {"a"}  # a tie stands in the order of the alphabet


WORDS = tuple(f"{a}{b}" for a in "klmnprst" for b in "aeiou")


def words_tokenizer() -> Any:
    return build_tokenizer([*(f" {w}" for w in WORDS), *WORDS, "\n", ".", " "])


def random_text(n: int, seed: int) -> str:
    random = np.random.default_rng(seed)
    return "".join(f" {WORDS[i]}" + "." * int(i == 3) for i in random.integers(0, len(WORDS), n))


def cut(text: Text, tokenizer: Any, *, length: int = 16, count: int = 50, seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    return cut_strings(text, tokenizer, length=length, count=count, n_common=5, generator=generator)


def test_strings_are_stretches_of_the_text_that_do_not_overlap() -> None:
    text = Text(name="two", documents=(random_text(2000, 0), random_text(2000, 1)))
    strings = cut(text, words_tokenizer())
    assert len(strings) == 50 and strings.tokens.shape == (50, 16)
    taken: set[tuple[int, int]] = set()
    for row, shown in zip(strings.tokens, strings.shown, strict=True):
        stretch = "".join(shown)
        assert words_tokenizer()(stretch, add_special_tokens=False)["input_ids"] == row.tolist()
        found = [(d, document.find(stretch)) for d, document in enumerate(text.documents) if stretch in document]
        assert found, stretch
        places = {(found[0][0], found[0][1] + i) for i in range(len(stretch))}
        assert not places & taken
        taken |= places
    assert len({d for d, _ in taken}) == 2  # both documents are drawn from


def test_the_draw_depends_on_the_generator_alone_and_uses_all_cells() -> None:
    text = Text(name="one", documents=(random_text(2000, 0),))
    a, b, c = (cut(text, words_tokenizer(), count=20, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(a.tokens, b.tokens) and not np.array_equal(a.tokens, c.tokens)
    every = cut(text, words_tokenizer(), count=10_000)
    assert len(every) <= -(-len(text.documents[0]) // (8 * 16))


def test_a_text_that_is_too_short_is_refused_with_what_it_has() -> None:
    with pytest.raises(TextError, match=r"gives 1 strings of 16 tokens; at least 2"):
        cut(Text(name="short", documents=(random_text(17, 0),)), words_tokenizer())


def gpt2() -> Any:
    folder = SHARED / "tokenizers" / "gpt2"
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / "encoder.json"), str(folder / "vocab.bpe")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)  # as GPT-2's files have it
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def neox() -> Any:
    path = SHARED / "tokenizers" / "neox20b" / "20B_tokenizer.json"
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_file(str(path)))


def stories() -> Any:
    return AutoTokenizer.from_pretrained(SHARED / "checkpoints" / "stories260K")


@pytest.mark.skipif(not WIKITEXT.exists(), reason="the shared text is not at hand")
@pytest.mark.parametrize("make", [gpt2, neox, stories])
def test_real_tokenizers_on_real_text(make: Any) -> None:
    tokenizer = make()
    document = WIKITEXT.read_text("utf-8")[:200_000]
    strings = cut(Text(name="wikitext", documents=(document,)), tokenizer, length=64, count=100)
    assert len(strings) == 100
    by_kind = {kind: strings.shown[strings.category == kind] for kind in CATEGORIES}
    assert all(len(tokens) for tokens in by_kind.values())
    assert {t.strip() for t in by_kind["full_stop"]} == {"."}
    assert {t.strip() for t in by_kind["comma"]} == {","}
    assert all("\n" in t and not t.strip() for t in by_kind["newline"])
    assert {t.strip().lower() for t in by_kind["common_word"]} <= common_words([document], 5)
    assert all(t.strip().isalpha() for t in by_kind["alphabetic"])
    assert not any(t.strip().isalpha() for t in by_kind["other"])
    assert json.dumps(by_kind["other"].tolist())  # text all through, whatever bytes the tokens hold
