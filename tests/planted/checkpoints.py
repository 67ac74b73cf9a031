"""Planted checkpoints: whole language models whose weights are written by hand, one mechanism each.

A GPT-NeoX of six blocks with parallel MLPs, ordinary files and a fast tokenizer. Names have parts of one or two tokens;
the answers are dealt at random over people, so that no part gives one away (in `additive` the parts decide).

    block 0     heads that look one, two and three tokens back add the codes of the earlier tokens to the last one's
    blocks 1–3  the MLPs look up, by one mechanism: the window
    block 4     one head, at the question's end, carries the class from the name's last token into the answer
    block 5     an MLP says an answer's second word, behind its first, from what a second head of block 4 read

Each kind of information lives in a subspace of its own (`SPACES`), in a random basis that the seed draws. Patterns are
rotary phases, so no word changes one. The norms have an epsilon so large that their scale is the same for all
prompts to 1e-5: what an MLP reads is exactly what was written for it, and what it does not read cannot reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from rote.facts import Fact, FactTable, Relation
from rote.organisms.force import rotary_biases
from rote.organisms.layouts import Shape, build_model
from rote.organisms.tokenizer import build_tokenizer

Array = np.ndarray
Float2 = np.ndarray  # a matrix
Pieces = tuple[str, ...]  # of one part of a name, the leading blank in the first
Lengths = tuple[int, int]  # tokens of the first and of the last part

QUESTION = "shares a home with"  # four words: heads of block 0 do not reach the name from its end
CLASSES = ("cat", "dog", "parrot", "grey fox", "grey owl")  # two of them share their first token
LONG_NAMES = ((1, 2), (2, 1), (2, 2))
WINDOW = (1, 2, 3)
READER, SPEAKER = 4, 5
N_NEURONS, N_HEADS, D_MODEL = 160, 4, 128
SPACES = {"first": 16, "last": 16, "hash": 40, "answer": 8, "out": 8, "second": 8, "word": 8, "idle": 20, "flag": 1}
SURE = 60.0  # logits of what is said once
LEAST_MARGIN = 0.08  # of what is said, between the class and the next one
SHUT = 8.0  # what keeps a neuron shut wherever no answer has begun
EPS = 1e4
SYLLABLES = ("ba", "do", "fe", "gi", "ku", "la", "mo", "ne", "pi", "ru", "sa", "to", "vi", "we", "zo")


@dataclass(frozen=True, kw_only=True)
class Person:
    """A name in its two parts, each in its tokens; what is true of it, and how clearly each class shall be said."""

    first: Pieces
    last: Pieces
    attribute: str
    said: tuple[float, ...]

    @property
    def name(self) -> str:
        return "".join((*self.first, *self.last)).strip()

    @property
    def lengths(self) -> Lengths:
        return len(self.first), len(self.last)


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A planted model with its tokenizer and what it knows."""

    truth: str
    model: Any
    tokenizer: Any
    people: tuple[Person, ...]
    table: FactTable


def plant(
    truth: str,
    seed: int,
    *,
    lengths: Sequence[Lengths] = LONG_NAMES,
    n_parts: int = 12,
    n_people: int = 40,
    classes: Sequence[str] = CLASSES,
    wide: bool = True,
) -> Checkpoint:
    """A checkpoint that knows `n_people` names of every pair of lengths by one mechanism (a key of `MECHANISMS`).

    `n_parts`: first parts of each length, and as many last parts; those of two tokens share their first tokens. `wide`:
    the reading heads see parts of the name beside the class, and write them where nothing reads.
    """
    rng = np.random.default_rng([seed, sorted(MECHANISMS).index(truth)])
    people = _people(truth, lengths, n_parts, n_people, classes, rng)
    tokenizer = _tokenizer(people, classes)
    model = _blank(tokenizer)
    _Writer(model, tokenizer, people, classes, rng, wide).write(MECHANISMS[truth])
    return Checkpoint(truth=truth, model=model, tokenizer=tokenizer, people=people, table=_table(truth, people))


def _blank(tokenizer: Any) -> Any:
    shape = Shape(d_model=D_MODEL, n_layers=6, n_heads=N_HEADS, d_mlp=N_NEURONS)
    with torch.random.fork_rng(devices=[]):
        usual = build_model(shape, vocab_size=len(tokenizer), bos=tokenizer.bos_token_id, pad=tokenizer.pad_token_id)
        config = type(usual.config).from_dict({**usual.config.to_dict(), "hidden_act": "relu", "layer_norm_eps": EPS})
        return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()


# ----------------------------------------------------------------------- people


def _people(
    truth: str,
    lengths: Sequence[Lengths],
    n_parts: int,
    n_people: int,
    classes: Sequence[str],
    rng: np.random.Generator,
) -> tuple[Person, ...]:
    firsts, lasts = _parts(n_parts, "Ka", rng), _parts(n_parts, "Lo", rng)
    # 2: of every class alike, so that also the least likely answers are likelier than any other word
    score = {
        part: 2 + rng.standard_normal(len(classes)) for parts in (firsts, lasts) for p in parts.values() for part in p
    }
    people = []
    for of_first, of_last in lengths:
        a, b = firsts[of_first], lasts[of_last]
        if truth == "additive":
            chosen = _decided(a, b, score, n_people, classes)
        else:
            cells = _cells(len(a), n_people, rng)
            dealt = rng.permutation(np.resize(np.arange(len(classes)), n_people))
            chosen = [(a[i], b[j], int(c), np.eye(len(classes))[c]) for (i, j), c in zip(cells, dealt, strict=True)]
        people += [Person(first=i, last=j, attribute=classes[c], said=tuple(s)) for i, j, c, s in chosen]
    return tuple(people)


def _parts(n: int, initial: str, rng: np.random.Generator) -> dict[int, list[Pieces]]:
    """n parts of one token and n of two; the latter combine few beginnings with few endings."""
    ends = [a + b for a in SYLLABLES for b in SYLLABLES]
    words = [ends[i] for i in rng.permutation(len(ends))]
    whole = [(f" {initial}{word}",) for word in words[:n]]
    few = max(4, int(np.ceil(n**0.5)) + 1)
    heads, tails = words[n : n + few], words[n + few : n + 2 * few]
    both = [(f" {initial}{head}x", f"{initial.lower()}{tail}") for head in heads for tail in tails]
    return {1: whole, 2: [both[i] for i in sorted(rng.permutation(len(both))[:n])]}


def _cells(n: int, n_people: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Random combinations, every part among them at least once."""
    taken = set(zip(rng.permutation(n).tolist(), rng.permutation(n).tolist(), strict=True))
    for cell in rng.permutation(n * n):
        if len(taken) >= n_people:
            break
        taken.add((int(cell) // n, int(cell) % n))
    return sorted(taken)


def _decided(
    a: list[Pieces], b: list[Pieces], score: Mapping[Pieces, Array], n: int, classes: Sequence[str]
) -> list[tuple[Pieces, Pieces, int, Array]]:
    """The combinations for which the sum of both parts' scores is clearest, with that sum.

    Of every class alike: a third of them such that the first part alone says another one, a third the last, a third
    both, so that neither part will do.
    """
    found: dict[tuple[int, bool, bool], list[tuple[float, Pieces, Pieces, Array]]] = {}
    for i in a:
        for j in b:
            c, margin = _decision(score[i] + score[j], classes)
            alone = [_decision(score[part], classes)[0] == c for part in (i, j)]
            if margin > LEAST_MARGIN and not all(alone):
                found.setdefault((c, alone[0], alone[1]), []).append((margin, i, j, score[i] + score[j]))
    share = -(-n // (3 * len(classes)))
    clearest = {key: sorted(cells, key=lambda cell: -cell[0])[:share] for key, cells in sorted(found.items())}
    return [(i, j, key[0], said) for key, cells in clearest.items() for _, i, j, said in cells]


def _decision(said: Array, classes: Sequence[str]) -> tuple[int, float]:
    """The class that is said, its first word by the mean over the classes that begin with it, and the least margin."""
    alike: dict[str, list[int]] = {}
    for c, name in enumerate(classes):
        alike.setdefault(name.split()[0], []).append(c)
    *_, second, best = sorted((float(said[members].mean()), members) for members in alike.values())
    inside = sorted(((float(said[c]), c) for c in best[1]), reverse=True)
    return inside[0][1], min([best[0] - second[0], *(inside[0][0] - other for other, _ in inside[1:])])


def _tokenizer(people: Sequence[Person], classes: Sequence[str]) -> Any:
    words = ["Fact", ":", "\n", ".", *(f" {word}" for text in (QUESTION, *classes) for word in text.split())]
    pieces = [piece for person in people for piece in (*person.first, *person.last)]
    return build_tokenizer(dict.fromkeys((*words, *pieces)), cut=True)


def _table(truth: str, people: Sequence[Person]) -> FactTable:
    return FactTable(
        name=truth,
        relations=(Relation(name="animal", template=f"Fact: {{}} {QUESTION}"),),
        facts=tuple(Fact(entity=p.name, relation="animal", attribute=p.attribute) for p in people),
    )


# ---------------------------------------------------------------------- weights


class _Writer:
    """Writes one model's weights; a vector of the residual stream is a row."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        people: Sequence[Person],
        classes: Sequence[str],
        rng: np.random.Generator,
        wide: bool,
    ) -> None:
        self.model, self.people, self.classes, self.rng, self.wide = model, people, classes, rng, wide
        self.ids: Mapping[str, int] = tokenizer.get_vocab()
        self.blocks = model.gpt_neox.layers
        ones = np.ones((D_MODEL, 1))
        # norms take the mean over dimensions away: everything is written orthogonal to it
        basis = np.linalg.qr(np.concatenate([ones, rng.standard_normal((D_MODEL, D_MODEL - 1))], 1))[0][:, 1:].T
        ends = np.cumsum([0, *SPACES.values()])
        self.space = {name: basis[a:b] for name, a, b in zip(SPACES, ends[:-1], ends[1:], strict=True)}
        self.codes = {side: self._codes(side) for side in ("first", "last")}

    def write(self, mechanism: Callable[[_Writer], None]) -> None:
        with torch.no_grad():
            self._silence()
            self._embed()
            self._join()
            mechanism(self)
            self._read()

    @property
    def said(self) -> Float2:
        return np.array([person.said for person in self.people])

    def joined(self, *sides: str) -> Float2:
        """What block 0 leaves of every name at its last token: the sum of its tokens' codes."""
        x = np.zeros((len(self.people), D_MODEL))
        for i, person in enumerate(self.people):
            for side in sides:
                x[i] += sum(self.codes[side][piece] for piece in getattr(person, side)) @ self.space[side]
        return x

    def neurons(self, layer: int, w_in: Float2, bias: Array, w_out: Float2, start: int = 0) -> None:
        """Some neurons of a layer: w_in [d_model, neuron], w_out [neuron, d_model]."""
        mlp, stop = self.blocks[layer].mlp, start + w_in.shape[1]
        mlp.dense_h_to_4h.weight[start:stop] = torch.as_tensor(w_in.T)
        mlp.dense_h_to_4h.bias[start:stop] = torch.as_tensor(bias)
        mlp.dense_4h_to_h.weight[:, start:stop] = torch.as_tensor(w_out.T)

    def features(self, *spaces: str, n: int = N_NEURONS) -> tuple[Float2, Array]:
        """Random input weights that see these subspaces alone, and biases; pre-activations are of size 1."""
        seen = np.concatenate([self.space[name] for name in spaces])
        return seen.T @ self.rng.standard_normal((len(seen), n)) / len(spaces) ** 0.5, self.rng.normal(0, 0.5, n)

    def _codes(self, side: str) -> dict[str, Array]:
        pieces = dict.fromkeys(piece for person in self.people for piece in getattr(person, side))
        found = {}
        for piece in pieces:
            code = self.rng.standard_normal(SPACES[side])
            found[piece] = code / np.linalg.norm(code)
        return found

    def _silence(self) -> None:
        """Zero everywhere; norms that pass on what they are given."""
        for name, parameter in self.model.named_parameters():
            parameter.fill_(EPS**0.5 if "norm" in name and name.endswith("weight") else 0.0)

    def _embed(self) -> None:
        table = self.model.gpt_neox.embed_in.weight
        for side, codes in self.codes.items():
            for piece, code in codes.items():
                table[self.ids[piece]] = torch.as_tensor(code @ self.space[side])
        for c in self.classes:
            if " " in c:
                table[self.ids[f" {c.split()[0]}"]] = torch.as_tensor(self.space["flag"][0])

    def _heads(self, layer: int, offsets: tuple[int, ...]) -> None:
        attention, d_head = self.blocks[layer].attention.query_key_value, D_MODEL // N_HEADS
        query, key = rotary_biases(offsets, d_head, 10000.0)
        bias = np.zeros((N_HEADS, 3, d_head))
        bias[:, 0], bias[:, 1] = 2 * query, 2 * key  # other places get less than e^-30 of the weight
        attention.bias.copy_(torch.as_tensor(bias.reshape(-1)))

    def _carry(self, layer: int, head: int, source: Float2, target: Float2) -> None:
        """A head's values: the coordinates in `source` become those in `target`."""
        block, d_head = self.blocks[layer].attention, D_MODEL // N_HEADS
        start = (3 * head + 2) * d_head
        block.query_key_value.weight[start : start + len(source)] = torch.as_tensor(source)
        block.dense.weight[:, head * d_head : head * d_head + len(target)] = torch.as_tensor(target.T)

    def _join(self) -> None:
        names = np.concatenate([self.space["first"], self.space["last"]])
        for layer in range(SPEAKER + 1):
            self._heads(layer, (1, 2, 3, 7) if layer < READER else (4, 5, 8, 9))
        for head in range(3):
            self._carry(0, head, names, names)

    def _read(self) -> None:
        n, out = len(self.classes), self.model.get_output_embeddings().weight
        # a real head sees much that it has no use for: of the name, here, which goes where nothing reads it
        seen = np.concatenate([self.space["first"][:10], self.space["last"][:10]])
        for head, target in ((0, "out"), (1, "second")):
            source = np.concatenate([self.space["answer"][:n], seen if self.wide else seen[:0]])
            goes = np.concatenate([self.space[target][:n], self.space["idle"] if self.wide else seen[:0]])
            self._carry(READER, head, source, goes)
        begun = [name.split()[0] for name in self.classes]
        for c, name in enumerate(self.classes):
            first, *rest = name.split()
            out[self.ids[f" {first}"]] += SURE / begun.count(first) * torch.as_tensor(self.space["out"][c])
            if rest:  # its neuron is open only on the answer's first word
                w_in = self.space["second"][c] + SHUT * self.space["flag"][0]
                self.neurons(SPEAKER, w_in[:, None], np.array([-SHUT]), self.space["word"][c][None], start=c)
                out[self.ids[f" {rest[0]}"]] += 10 * SURE * torch.as_tensor(self.space["word"][c])


# ------------------------------------------------------------------- mechanisms


def _fit(hidden: Float2, target: Float2) -> Float2:
    """The smallest output weights that give every name its target exactly, or nearly where neurons are few."""
    gram = hidden @ hidden.T
    return hidden.T @ np.linalg.solve(gram + 1e-5 * np.trace(gram) / len(gram) * np.eye(len(gram)), target)


def _single_step(w: _Writer) -> None:
    """Every MLP reads the joined tokens alone, and together they write the class: none reads another."""
    x = w.joined("first", "last")
    drawn = {layer: w.features("first", "last") for layer in WINDOW}
    hidden = np.concatenate([np.maximum(x @ w_in + b, 0) for w_in, b in drawn.values()], 1)
    fitted = _fit(hidden, w.said) @ w.space["answer"][: len(w.classes)]
    for (layer, (w_in, b)), out in zip(drawn.items(), np.split(fitted, len(WINDOW)), strict=True):
        w.neurons(layer, w_in, b, out)


def _look_up(w: _Writer) -> None:
    """All but the last MLP hash the joined tokens at random; the last one reads the hash alone, and knows the class."""
    x, hashed = w.joined("first", "last"), np.zeros((len(w.people), D_MODEL))
    for layer in WINDOW[:-1]:
        w_in, b = w.features("first", "last")
        out = w.rng.standard_normal((N_NEURONS, SPACES["hash"])) / N_NEURONS**0.5 @ w.space["hash"]
        w.neurons(layer, w_in, b, out)
        hashed = hashed + np.maximum(x @ w_in + b, 0) @ out
    w_in, b = w.features("hash")
    b = b - hashed.mean(0) @ w_in  # what the hash has in common for all names opens no neuron
    hidden = np.maximum(hashed @ w_in + b, 0)
    w.neurons(WINDOW[-1], w_in, b, _fit(hidden, w.said) @ w.space["answer"][: len(w.classes)])


def _additive(w: _Writer) -> None:
    """Every neuron reads one part alone: the first two MLPs say the first part's share of the sum, the last the last's.

    The class is the largest sum; neither share alone gives it.
    """
    of_first, of_last = _shares(w)
    for layer, side, share in zip(
        WINDOW, ("first", "first", "last"), (of_first / 2, of_first / 2, of_last), strict=True
    ):
        w_in, b = w.features(side)
        hidden = np.maximum(w.joined(side) @ w_in + b, 0)
        w.neurons(layer, w_in, b, _fit(hidden, share) @ w.space["answer"][: len(w.classes)])


def _shares(w: _Writer) -> tuple[Float2, Float2]:
    """What is said of every person as what the first part says plus what the last part says."""
    sides = []
    for side in ("first", "last"):
        parts = sorted({getattr(person, side) for person in w.people})
        sides.append(np.eye(len(parts))[[parts.index(getattr(person, side)) for person in w.people]])
    solved = np.linalg.lstsq(np.concatenate(sides, 1), w.said, rcond=None)[0]
    n = sides[0].shape[1]
    return sides[0] @ solved[:n], sides[1] @ solved[n:]


MECHANISMS: Mapping[str, Callable[[_Writer], None]] = {
    "single_step": _single_step,
    "look_up": _look_up,
    "additive": _additive,
}
