"""The whole method in one file: how does a language model recall which sport an athlete plays?

Top to bottom, this follows the Fact Finding study of Pythia-2.8B (Neel Nanda, Senthooran Rajamanoharan, János
Kramár, Rohin Shah; five posts, December 2023; "post 2" below is the second of them):

    1  facts      put every athlete to the model; which does it know?                                  posts 1, 2
    2  extract    which heads write the sport at the prompt's end, and the linear map that they apply  post 2
    3  window     between which layers does the name's last token come to mean a sport?                post 2
    4  effective  E_first + E_last + constant, a few MLPs, a linear readout: that is all               post 2
    5  structure  do these MLPs treat known names as more than a sum of two tokens?                    post 3

Choices (head, window) are made on one half of the athletes, figures are of the other. Chance is an argument
everywhere, so that two programs can be given the same. Run it on a model of the GPT-NeoX layout (Pythia, or the
organism that comes with rote) with `python examples/nano.py [MODEL [FACTS.csv]]`.
"""

from __future__ import annotations

import copy
import csv
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

ROTE = Path(__file__).resolve().parents[1] / "src" / "rote"
MODEL, FACTS = ROTE / "organisms" / "bundled", ROTE / "facts" / "athletes.csv"
PREFIX = "Fact: Tiger Woods plays the sport of golf\n"  # one shot, as in post 2
BEFORE, AFTER = "Fact:", " plays the sport of"

Head = Name = tuple[int, int]  # (layer, head); (row of E_first, row of E_last)
Pair = tuple[Name, Name, Sequence[tuple[Name, Name]]]  # two names, and random pairs to compare them with
Point = tuple[str, int]  # (what, layer), see `watch`
Seen = dict[Point, Tensor]
Change = dict[Point, Callable[[Tensor, Seen], Tensor]]


# ---------------------------------------------------------------------------------- 0  looking into the model
def load(folder: str | Path) -> tuple[Any, Any]:
    """Model and tokenizer. Eager attention, because no other kind hands out its patterns."""
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    if model.config.model_type != "gpt_neox" or not model.config.use_parallel_residual:
        raise SystemExit(f"{folder} is a {model.config.model_type} model; this file reads parallel GPT-NeoX blocks")
    return model.eval().requires_grad_(False), AutoTokenizer.from_pretrained(folder)


def watch(model: Any, tokens: Tensor, keep: Sequence[Point], change: Change | None = None) -> Seen:
    """Run prompts through the model and return what was there at the points in `keep`, prompt by prompt.

    ("resid", l)                      the residual stream before block l (l = number of layers: after the last one)
    ("value", l), ("z", l)            each head's values, and what it hands to W_O: [prompt, pos, head, d_head]
    ("pattern", l)                    attention weights: [prompt, head, query, key]
    ("attn_out", l)                   what attention adds to the residual stream
    ("logits", 0)                     of the next token, at the last position

    change[point](x, seen) replaces x at that point (not values or patterns), given what has been seen before it.
    """
    seen: Seen = {}
    handles: list[Any] = []

    def see(point: Point, x: Tensor) -> Tensor:
        seen[point] = change[point](x, seen) if change and point in change else x
        return seen[point]

    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (model.config.num_attention_heads, -1))

    def entering(module: Any, hook: Callable[[Tensor], Tensor]) -> None:
        handles.append(module.register_forward_pre_hook(lambda _, args: (hook(args[0]), *args[1:])))

    def leaving(module: Any, hook: Callable[[Any], Any]) -> None:
        handles.append(module.register_forward_hook(lambda _, args, out: hook(out)))

    entering(model.gpt_neox.final_layer_norm, lambda x: see(("resid", len(model.gpt_neox.layers)), x))
    for i, block in enumerate(model.gpt_neox.layers):
        entering(block, lambda x, i=i: see(("resid", i), x))
        # query, key and value lie side by side within each head; a hook that returns None changes nothing
        qkv, dense = block.attention.query_key_value, block.attention.dense
        leaving(qkv, lambda x, i=i: seen.update({("value", i): split(x).chunk(3, -1)[2]}))
        entering(dense, lambda x, i=i: see(("z", i), split(x)).flatten(-2))
        leaving(dense, lambda x, i=i: see(("attn_out", i), x))
        leaving(block.attention, lambda out, i=i: seen.update({("pattern", i): out[1]}))
    parts = []
    for rows in tokens.split(256):
        seen["logits", 0] = model(input_ids=rows, use_cache=False, logits_to_keep=1).logits[:, -1]
        parts.append({point: seen[point] for point in keep})
    for handle in handles:
        handle.remove()
    return {point: torch.cat([part[point] for part in parts]) for point in keep}


def points(model: Any, *what: str) -> list[Point]:
    return [(name, layer) for name in what for layer in range(model.config.num_hidden_layers + (name == "resid"))]


# ------------------------------------------------------------------------------------------ 1  facts (posts 1, 2)
class Facts(NamedTuple):
    """Athletes with two-token names, so that all prompts have one length and no padding is needed."""

    tokens: Tensor  # [fact, pos]: <bos> + PREFIX + BEFORE + name + AFTER
    at: int  # position of the name's last token: the subject, where the look-up happens
    cls: Tensor  # [fact]: which sport
    class_tokens: Tensor  # [cls]: each sport's first token, by which an answer is recognised

    def take(self, mask: Tensor) -> Facts:
        return self._replace(tokens=self.tokens[mask], cls=self.cls[mask])

    def name_only(self) -> Tensor:
        """[fact, 3]: <bos> and the name. Post 2: the look-up needs nothing else of the prompt."""
        return self.tokens[:, [0, self.at - 1, self.at]]

    def tables(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All first-name and all last-name tokens, and each fact's row in the one and in the other."""
        firsts, first = self.tokens[:, self.at - 1].unique(return_inverse=True)
        lasts, last = self.tokens[:, self.at].unique(return_inverse=True)
        return firsts, lasts, first, last


def read_facts(path: str | Path, tokenizer: Any) -> Facts:
    """The table's athletes as prompts; of its columns, entity and sport are read."""

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = [(r["entity"], r["sport"]) for r in csv.DictReader(file) if len(ids(" " + r["entity"])) == 2]
    classes = sorted({sport for _, sport in rows})
    return Facts(
        tokens=torch.tensor([[tokenizer.bos_token_id, *ids(f"{PREFIX}{BEFORE} {name}{AFTER}")] for name, _ in rows]),
        at=len(ids(f"{PREFIX}{BEFORE} {rows[0][0]}")),  # not one less, since <bos> stands before them
        cls=torch.tensor([classes.index(sport) for _, sport in rows]),
        class_tokens=torch.tensor([ids(f"{AFTER} {sport}")[len(ids(AFTER))] for sport in classes]),
    )


def ask(model: Any, facts: Facts) -> tuple[Tensor, Tensor]:
    """(known, correct) per fact. Known: p(answer) > 1/2. Correct: no token of the vocabulary is likelier."""
    logits = watch(model, facts.tokens, [("logits", 0)])["logits", 0]
    answer = facts.class_tokens[facts.cls]
    return logits.softmax(-1).gather(1, answer[:, None])[:, 0] > 0.5, logits.argmax(-1) == answer


# ---------------------------------------------------------------------------------------------- 2  extract (post 2)
def scale(norm: Any, x: Tensor) -> Tensor:
    return (x.var(-1, unbiased=False) + norm.eps).sqrt()


def frozen(norm: Any, x: Tensor, at_scale: Tensor | float) -> Tensor:
    """A LayerNorm as a linear map: centring and weight, its scale held fixed; a bias would drop out below."""
    return (x - x.mean(-1, keepdim=True)) / at_scale * norm.weight


def value_and_output(model: Any, layer: int, head: int) -> tuple[Tensor, Tensor]:
    """(W_V, W_O): what a head takes from where it looks, and what it writes where it stands."""
    attention, n_heads = model.gpt_neox.layers[layer].attention, model.config.num_attention_heads
    w_v = attention.query_key_value.weight.unflatten(0, (n_heads, 3, -1))[head, 2]
    return w_v.T, attention.dense.weight.unflatten(1, (n_heads, -1))[:, head].T


def to_logits(model: Any, facts: Facts, clean: Seen) -> tuple[Any, Tensor, Tensor]:
    """The final norm, its scale at each prompt's end, and the unembedding of each sport: [d_model, cls]."""
    norm, last = model.gpt_neox.final_layer_norm, clean["resid", model.config.num_hidden_layers]
    return norm, scale(norm, last[:, -1]), model.get_output_embeddings().weight[facts.class_tokens].T


def direct_effects(model: Any, facts: Facts, clean: Seen, others: Tensor) -> Tensor:
    """[fact, layer, head]: how far logit[right sport] - logit[other sport] drops, in logits.

    The head's output at the prompt's end is swapped for its output on an athlete of another sport (others: [draw,
    fact]), on the direct path into the unembedding only: later layers and the final norm's scale stay as they were.
    """
    norm, at_scale, columns = to_logits(model, facts, clean)
    fact, cls = torch.arange(len(facts.cls)), facts.cls
    effects = torch.zeros(len(cls), model.config.num_hidden_layers, model.config.num_attention_heads)
    for layer in range(effects.shape[1]):
        for head in range(effects.shape[2]):
            written = clean["z", layer][:, -1, head] @ value_and_output(model, layer, head)[1]
            logits = frozen(norm, written, 1.0) @ columns
            for other in others:
                own = logits[fact, cls] - logits[fact, cls[other]]
                swapped = logits[other, cls] - logits[other, cls[other]]
                effects[:, layer, head] += (own - swapped) / at_scale / len(others)
    return effects


def rank_heads(effects: Tensor) -> list[Head]:
    """(layer, head) by mean effect; none of layer 0, before which nothing can have been looked up."""
    means = effects.mean(0)
    order = means[1:].flatten().argsort(descending=True, stable=True)
    return [(int(i) // means.shape[1] + 1, int(i) % means.shape[1]) for i in order]


def readout(model: Any, facts: Facts, clean: Seen, heads: list[Head], selection: Tensor) -> Tensor:
    """[d_model, cls]: from the residual stream at the subject, through the heads, to the sports' logits.

    Both norms on the way are linear (scales at their mean), and each head looks at the subject as much as it does on
    average. Post 2: this linear map is all there is to extraction.
    """
    norm, at_scale, columns = to_logits(model, facts, clean)
    weight = torch.zeros_like(columns)
    for layer, head in heads:
        before, (w_v, w_o) = model.gpt_neox.layers[layer].input_layernorm, value_and_output(model, layer, head)
        before_scale = scale(before, clean["resid", layer][:, facts.at])[selection].mean()
        looks = clean["pattern", layer][:, head, -1, facts.at][selection].mean()
        written = frozen(before, torch.eye(len(columns)), before_scale) @ w_v @ w_o * looks
        weight += frozen(norm, written, at_scale[selection].mean()) @ columns
    return weight


def predict(x: Tensor, weight: Tensor, centre: Tensor | None = None) -> Tensor:
    """The sport read off x. By default centred on the mean of x, so that earlier layers can be read as well."""
    return ((x - (x.mean(0) if centre is None else centre)) @ weight).argmax(-1)


def share(correct: Tensor, where: Tensor) -> float:
    return float(correct[where].double().mean())


# ----------------------------------------------------------------------------------------------- 3  window (post 2)
def without_attention(clean: Seen, at: int, layers: range) -> Change:
    """What attention brings to one position in some layers is replaced by its mean over the facts."""
    index, means = torch.tensor([at]), {("attn_out", i): clean["attn_out", i][:, at].mean(0) for i in layers}
    return {p: lambda x, _, m=m: x.index_copy(1, index, m.expand(len(x), 1, -1)) for p, m in means.items()}


def window(model: Any, facts: Facts, clean: Seen, heads: list[Head], selection: Tensor) -> tuple[int, int]:
    """(start, stop): the MLPs that look the sport up.

    start: the first layer from which on attention at the subject can go while the readout keeps 90 % of its accuracy
    (both tokens have met by then). stop: where, with the name alone as prompt and that attention gone, the readout
    reaches 90 % of its plateau. rote also demands proof that these MLPs are needed, and says so if there is none.
    """
    weight, reads, kept = readout(model, facts, clean, heads, selection), heads[0][0], []
    for layer in range(reads + 1):
        change = without_attention(clean, facts.at, range(layer, reads))
        x = watch(model, facts.tokens, [("resid", reads)], change)["resid", reads][:, facts.at]
        kept.append(share(predict(x, weight) == facts.cls, selection))
    start = next(layer for layer, accuracy in enumerate(kept) if accuracy >= 0.9 * kept[-1])
    if start == reads:
        raise SystemExit(f"no window of MLPs: attention at the name is needed up to layer {start - 1}")
    change = without_attention(watch(model, facts.name_only(), points(model, "attn_out")), 2, range(start, reads))
    after = watch(model, facts.name_only(), [("resid", layer + 1) for layer in range(start, reads)], change)
    reached = [share(predict(x[:, 2], weight) == facts.cls, selection) for x in after.values()]
    return start, start + next(i for i, accuracy in enumerate(reached) if accuracy >= 0.9 * max(reached))


# -------------------------------------------------------------------------------------- 4  effective model (post 2)
class Stack(NamedTuple):
    """x = first + last + constant; then per layer x <- x + attention + MLP(norm(x)), attention being a constant."""

    first: Tensor  # E_first: [first name, d_model]
    last: Tensor  # E_last: [last name, d_model]
    constant: Tensor
    layers: list[tuple[int, Tensor, Any, Any]]  # (number, attention, norm, mlp)

    def run(self, first: Tensor, last: Tensor) -> Seen:
        """mlp_out and resid_post of every layer, for names given by their rows in the tables."""
        x, seen = self.first[first] + self.last[last] + self.constant, {}
        for number, attention, norm, mlp in self.layers:
            out = mlp(norm(x))
            x = x + attention + out
            seen["mlp_out", number], seen["resid_post", number] = out, x
        return seen


def main_effects(values: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(first, last, constant): the least squares of first[i] + last[j] + constant."""
    # one effect is held at 0: to add to all first names what is taken from all last names changes nothing
    design = torch.cat([one_hot(first), one_hot(last)[:, 1:]], 1).double()
    effects = torch.linalg.solve(design.T @ design, design.T @ values.double()).float()
    e_first, e_last = effects.split([int(first.max()) + 1, int(last.max())])
    e_last = torch.cat([torch.zeros_like(e_last[:1]), e_last])
    return e_first - e_first.mean(0), e_last - e_last.mean(0), e_first.mean(0) + e_last.mean(0)


def effective_model(model: Any, facts: Facts, start: int, stop: int, cells: tuple[Tensor, Tensor]) -> Stack:
    """The circuit without the model: input tables, MLPs start..stop, constants for attention.

    The tables are the main effects of both names on the residual stream before block `start`, in prompts that hold
    a name alone (cells: rows of first and of last names), with earlier attention patterns frozen at their mean.
    """
    (firsts, lasts, _, _), (first, last) = facts.tables(), cells
    alone = watch(model, facts.name_only(), points(model, "pattern", "attn_out"))
    change: Change = {}
    for i in range(start):
        mean = alone["pattern", i].mean(0)
        change["z", i] = lambda _, seen, i=i, p=mean: torch.einsum("hqk,bkhd->bqhd", p, seen["value", i])
    prompts = torch.stack([facts.tokens[0, 0].expand(len(first)), firsts[first], lasts[last]], 1)
    x = watch(model, prompts, [("resid", start)], change)["resid", start][:, 2]
    blocks = [(i, alone["attn_out", i][:, 2].mean(0), model.gpt_neox.layers[i]) for i in range(start, stop + 1)]
    return Stack(*main_effects(x, first, last), [(i, a, b.post_attention_layernorm, b.mlp) for i, a, b in blocks])


def shuffled(stack: Stack, chance: torch.Generator) -> Stack:
    """Post 3's null: the same stack with every weight matrix and bias of its MLPs permuted entry by entry."""
    layers = copy.deepcopy(stack.layers)
    for parameter in (p for *_, mlp in layers for p in mlp.parameters()):
        order = torch.randperm(parameter.numel(), generator=chance)
        parameter.view(-1)[:] = parameter.flatten()[order]
    return stack._replace(layers=layers)


# --------------------------------------------------------------------------------------------- 5  structure (post 3)
def draw_pairs(names: list[Name], taken: set[Name], n: int, chance: random.Random, known: bool) -> list[Pair]:
    """n random pairs of `names` (or, not known, of combinations that nobody bears), each with 16 unknown pairs."""
    firsts, lasts = (sorted({name[i] for name in names}) for i in (0, 1))

    def unknown() -> Name:
        while (name := (chance.choice(firsts), chance.choice(lasts))) in taken:
            pass
        return name

    def apart(*some: Name) -> bool:
        return all(len({name[i] for name in some}) == len(some) for i in (0, 1))

    pairs: list[Pair] = []
    while len(pairs) < n:
        a, b = (chance.choice(names) if known else unknown() for _ in range(2))
        # nobody may bear a surname swap, and a pair it is compared with must share no token with it
        if apart(a, b) and not {(a[0], b[1]), (b[0], a[1])} & taken:
            draws: list[tuple[Name, Name]] = []
            while len(draws) < 16:
                c, d = unknown(), unknown()
                draws += [(c, d)] if apart(a, b, c, d) else []
            pairs.append((a, b, draws))
    return pairs


def broken_fractions(stack: Stack, pairs: Sequence[Pair]) -> Seen:
    """Per layer, for each pair: |mid(A,B) - mid(surnames swapped)| / mean |mid(A,B) - mid(random unknown pair)|.

    Were the output a sum over the two tokens, a swap would leave the midpoint where it is: 0. Were it unrelated to
    the tokens, the swapped names would be as far away as any: 1.
    """

    def mids(names: list[tuple[Name, Name]]) -> Seen:
        rows = torch.tensor(names)  # [pair, which of the two names, token]
        one, two = (stack.run(rows[:, i, 0], rows[:, i, 1]) for i in (0, 1))
        return {point: (one[point].double() + two[point].double()) / 2 for point in one}

    swapped, broken = mids([((a[0], b[1]), (b[0], a[1])) for a, b, _ in pairs]), {}
    draws = [mids(list(names)) for names in zip(*(draws for _, _, draws in pairs), strict=True)]
    for point, x in mids([(a, b) for a, b, _ in pairs]).items():
        usual = torch.stack([(x - draw[point]).norm(dim=-1) for draw in draws]).mean(0)
        broken[point] = (x - swapped[point]).norm(dim=-1) / usual
    return broken


# ------------------------------------------------------------------------------------------------ the whole study
def main(folder: str | Path = MODEL, table: str | Path = FACTS, seed: int = 0) -> None:
    chance = torch.Generator().manual_seed(seed)
    model, tokenizer = load(folder)
    everyone = read_facts(table, tokenizer)
    known, correct = ask(model, everyone)
    print(f"known      {int(known.sum())} of {len(known)} facts; accuracy {correct.double().mean():.3f}")
    facts = everyone.take(known)
    order = torch.randperm(len(facts.cls), generator=chance)
    order = order[facts.cls[order].argsort(stable=True)]  # every other one: halves with the same shares of sports
    selection = torch.zeros_like(facts.cls, dtype=torch.bool).index_fill(0, order[::2], True)
    report = ~selection
    clean = watch(model, facts.tokens, points(model, "resid", "z", "pattern", "attn_out"))
    others = torch.multinomial((facts.cls[:, None] != facts.cls).float(), 2, generator=chance).T
    effects = direct_effects(model, facts, clean, others)
    heads, means = rank_heads(effects[selection])[:6], effects[report].mean(0)
    print("effects    " + "  ".join(f"L{layer}H{head} {means[layer, head]:+.2f}" for layer, head in heads), "logits")
    weight = readout(model, facts, clean, heads[:1], selection)  # rote takes more heads where one is not enough
    x = clean["resid", heads[0][0]][:, facts.at]
    print(f"readout    accuracy {share(predict(x, weight) == facts.cls, report):.3f} before layer {heads[0][0]}")
    start, stop = window(model, facts, clean, heads[:1], selection)
    print(f"window     MLPs {start}..{stop}")
    firsts, lasts, first, last = facts.tables()
    mixed = [last[torch.randperm(len(last), generator=chance)] for _ in range(4)]  # other people's last names
    stack = effective_model(model, facts, start, stop, (first.repeat(5), torch.cat([last, *mixed])))
    null = shuffled(stack, chance)
    for name, these in (("effective", stack), ("shuffled", null)):
        x = these.run(first, last)["resid_post", stop]
        print(f"{name:10} accuracy {share(predict(x, weight, x[selection].mean(0)) == facts.cls, report):.3f}")

    row, column = ({int(token): i for i, token in enumerate(tokens)} for tokens in (firsts, lasts))
    taken = {(row.get(a, -1), column.get(b, -1)) for _, a, b in everyone.name_only().tolist()}  # known or not
    names = list(zip(first[report].tolist(), last[report].tolist(), strict=True))
    pairs, strangers = (draw_pairs(names, taken, 400, random.Random(seed), known) for known in (True, False))
    broken = [broken_fractions(s, p) for s, p in ((stack, pairs), (null, pairs), (stack, strangers))]
    print("\nbroken fraction, median     known  shuffled  unknown")
    for what, layer in sorted(broken[0]):
        print(f"{what:>12} layer {layer:<8}", "     ".join(f"{float(b[what, layer].median()):.3f}" for b in broken))


if __name__ == "__main__":
    main(*sys.argv[1:3])
