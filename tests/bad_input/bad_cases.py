"""The table of bad inputs: what is given, what must be said, and what it is when it is repaired."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field

import pandas as pd

ROWS = (("Ann Lee", "golf"), ("Bob Day", "chess"), ("Cid Fox", "golf"), ("Dee Orr", "rugby"))
GOOD = "entity,sport\n" + "".join(f"{e},{a}\n" for e, a in ROWS)


def records(*rows: dict[str, object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def document(data: object) -> bytes:
    return json.dumps(data).encode()


def parquet(**columns: list[object]) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer)
    return buffer.getvalue()


LONG = [{"entity": e, "relation": "sport", "attribute": a} for e, a in ROWS]
LRE = {"name": "sport", "prompt_templates": ["{} plays"], "samples": [{"subject": e, "object": a} for e, a in ROWS]}
WHOLE: dict[str, bytes] = {
    "csv": GOOD.encode(),
    "tsv": GOOD.replace(",", "\t").encode(),
    "json": document(LONG),
    "jsonl": records(*LONG),
    "parquet": parquet(entity=[e for e, _ in ROWS], sport=[a for _, a in ROWS]),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """`data` is the table, in a file called `file`; `repaired` is the table, `options` and `model` are the cure."""

    kind: str
    says: tuple[str, ...]
    file: str = "facts.csv"
    data: bytes | None = None
    options: tuple[str, ...] = ()
    model: str = "tiny"
    beside: dict[str, bytes] = field(default_factory=dict)
    repaired: bytes | None = None
    cure: tuple[str, ...] = ()
    cured_model: str = "tiny"

    @property
    def table(self) -> bytes:
        return WHOLE[self.file.rsplit(".", 1)[-1]] if self.data is None else self.data

    @property
    def whole(self) -> bytes:
        return WHOLE.get(self.file.rsplit(".", 1)[-1], WHOLE["csv"]) if self.repaired is None else self.repaired


def rows(*more: str) -> bytes:
    return (GOOD + "".join(f"{row}\n" for row in more)).encode()


def case(kind: str, says: str | tuple[str, ...], **given: object) -> Case:
    return Case(kind=kind, says=(says,) if isinstance(says, str) else says, **given)  # type: ignore[arg-type]


LEAVE = "--leave-out"
SPORT = ("--template", "Fact: {} plays the sport of")
MISSING_COLUMNS = (
    case("columns",
         ("facts.csv has the columns 'person', 'sport'", "expected a column entity", "rename or add columns"),
         data=b"person,sport\nAnn Lee,golf\n"),
    case("columns", ("the columns 'entity'", "one column per relation"), data=b"entity\nAnn Lee\n"),
    case("columns", ("column relation but no column attribute", "add the attributes"),
         data=b"entity,relation\nAnn Lee,sport\n"),
    case("columns", ("2 columns named 'sport'", "expected each name once"),
         data=b"entity,sport,sport\nAnn,golf,golf\n"),
    case("columns", ("the columns 'who', 'what'", "a column entity"), file="facts.parquet",
         data=parquet(who=["Ann"], what=["golf"])),
    case("columns", ("the columns 'who', 'what'", "facts.jsonl"), file="facts.jsonl",
         data=records({"who": "Ann", "what": "golf"})),
    case("columns", ("no relation, and as the relation's name none was given", 'relation="sport"'),
         data=b"entity,attribute\nAnn Lee,golf\nBob Day,chess\n"),
)  # fmt: skip
EMPTY_OR_DOUBLE = (
    case("entities", ("facts.csv, row 6: the entity is empty", "1 of 5 rows", LEAVE), data=rows(",golf")),
    case("entities", ("row 6: the entity is empty (and likewise row 8, row 9)", "3 of 8 rows"),
         data=rows("  ,golf", "Eve Poe,golf", ",golf", "\t,chess")),
    case("entities", ("row 2: the entity has conflicting attributes: 'golf', 'chess' (and likewise row 6)", LEAVE),
         data=rows("Ann Lee,chess")),
    case("entities", ("row 6: the entity is listed again with the same attribute",), data=rows("Ann Lee,golf")),
    case("entities", ("row 1: the entity is empty",), file="facts.parquet",
         data=parquet(entity=[None, "Ann", "Bob"], sport=["golf", "golf", "chess"])),
    case("entities", ("row 5: the attribute is empty",), file="facts.jsonl",
         data=records(*LONG, {"entity": "Eve Poe", "relation": "sport", "attribute": None})),
    case("entities", ("the keys 'Ann Lee' more than once",), file="facts.json",
         data=b'{"entities": {"Ann Lee": {"sport": "golf"}, "Ann Lee": {"sport": "chess"}}}'),
    case("entities", ("none of the 2 rows", "row 2: the entity is empty (and likewise row 3)"),
         data=b"entity,sport\n,golf\n,chess\n"),
)  # fmt: skip
ANSWERS = (
    case("answers", ("row 6 ('Eve Poe'): its answer has 500 tokens; at most 256 are taken", "1 of 5 facts"),
         data=rows("Eve Poe," + 500 * "x")),
    case("answers", ("row 6 ('Eve Poe'): its answer has 300 tokens", "no experiment is called guesswork"),
         data=rows("Eve Poe," + 300 * "x"), options=("--experiments", "guesswork")),
    case("answers", ("its answer has 257 tokens", "and likewise row 6"), file="facts.jsonl",
         data=records(*LONG, *({"entity": e, "relation": "sport", "attribute": 257 * "x"} for e in ("Eve Poe", "F")))),
    case("answers", ("('Ann Lee'): its prompt has", "the relation's longest answer 250", "fit together"),
         data=rows("Eve Poe," + 250 * "x"), options=("--prefix", 150 * "y")),
)  # fmt: skip
ONE_CLASS = (
    case("one class", ("relation 'sport' has 1 classes that can be asked ('golf')", "at least two"),
         data=b"entity,sport\nAnn Lee,golf\nBob Day,golf\n"),
    case("one class", ("relation 'hue' has 1 classes", "relation 'sport' has 1 classes"),
         data=b"entity,sport,hue\nAnn,golf,red\nBob,golf,red\n"),
    case("one class", ("relation 'sport' has 1 classes", "left out 1 times: row 3: the entity is empty"),
         data=b"entity,sport\nAnn Lee,golf\n,chess\n", options=(LEAVE,)),
    case("one class", ("relation 'hue' has 1 classes",), options=("--relation", "hue"),
         data=b"entity,sport,hue\nAnn,golf,red\nBob,chess,red\n"),
    case("one class", ("relation 'sport' has 1 classes",), file="facts.json",
         data=document({"entities": {"Ann": {"sport": "golf"}, "Bob": {"sport": "golf"}}})),
)  # fmt: skip
TOKENS = (
    case("tokens", ("row 6: the entity has 5,000 characters",), data=rows("x" * 5000 + ",golf")),
    case("tokens", ("the entity has 1,001 characters; at most 1,000",), file="facts.jsonl",
         data=records(*LONG, {"entity": "é" * 1001, "relation": "sport", "attribute": "golf"})),
    case("tokens", ("its name has 321 tokens; at most 256 are taken", "row 6", LEAVE), data=rows("é" * 160 + ",golf")),
    case("tokens", ("row 6 ('☃☃'): no token lies on the entity's name",), data=rows("☃☃,golf"), model="deleting"),
    case("tokens", ("row 6 ('ann lee')", "the same tokens as another entity's with the same answer", LEAVE),
         data=rows("ann lee,golf"), model="lowering", cured_model="lowering"),
    case("tokens", ("row 2 ('Ann Lee')", "the answers differ ('chess', 'golf')"),
         data=rows("ann lee,chess"), model="lowering", cured_model="lowering"),
    case("tokens", ("the entity has no visible character",), data=rows("\u200d\u200d,golf")),
    case("tokens", ("no visible character", "the entity is empty"), data=rows("\u200c,golf", ",golf")),
)  # fmt: skip
CONTROL = (
    case("control characters", ("row 6: the entity holds the control character U+0007",),
         data=rows("Eve\x07 Poe,golf")),
    case("control characters", ("the attribute holds the control character U+001B",),
         data=rows("Eve Poe,\x1b[31mgolf")),
    case("control characters", ("the entity holds the control character U+0000",), file="facts.jsonl",
         data=records(*LONG, {"entity": "Eve\0Poe", "relation": "sport", "attribute": "golf"})),
    case("control characters", ("the entity holds the control character U+000A",), data=rows('"Eve\nPoe",golf')),
    case("control characters", ("template 'A\\x7f {}' that was given holds the control character U+007F",),
         options=("--template", "A\x7f {}")),
    case("control characters", ("the column's name 'spo\\x01rt' holds the control character U+0001",),
         data=GOOD.replace("sport", "spo\x01rt").encode()),
    case("control characters", ("the prefix '\\x1b]0;' that was given holds the control character U+001B",),
         options=("--prefix", "\x1b]0;")),
    case("control characters", ("the entity holds the line separator U+2028",), data=rows("Eve\u2028Poe,golf")),
)  # fmt: skip
SCRIPTS = (
    case("scripts", ("row 6: the entity holds the direction mark U+202E (RIGHT-TO-LEFT OVERRIDE)",),
         data=rows("Eve\u202ePoe,golf")),
    case("scripts", ("the direction mark U+200F (RIGHT-TO-LEFT MARK)",), data=rows("\u200fدانا,golf"),
         repaired=rows("دانا,golf")),
    case("scripts", ("begins with the combining mark U+0301", "would join the word before it"),
         data=rows("\u0301Eve,golf"), repaired=rows("E\u0301ve,golf")),
    case("scripts", ("the entity 'Zoe\\u0308' looks like 'Zo\\xeb' in row 6", "nothing is normalised"),
         data=rows("Zo\u00eb,golf", "Zoe\u0308,golf"), repaired=rows("Zo\u00eb,golf", "Zoe\u0308 Ng,golf")),
    case("scripts", ("the attribute 'pe\\u0301tanque' looks like 'p\\xe9tanque' in row 6",),
         data=rows("Eve Poe,p\u00e9tanque", "Fay Roe,pe\u0301tanque"),
         repaired=rows("Eve Poe,p\u00e9tanque", "Fay Roe,p\u00e9tanque")),
    case("scripts", ("more than 30 combining marks on one letter",), data=rows("E" + "\u0301" * 31 + "ve,golf"),
         repaired=rows("E" + "\u0301" * 3 + "ve,golf")),
    case("scripts", ("the invisible character U+200B (ZERO WIDTH SPACE)",), data=rows("Eve\u200bPoe,golf")),
    case("scripts", ("the unusual blank U+00A0 (NO-BREAK SPACE)",), data=rows("Eve\u00a0Poe,golf"),
         repaired=rows("山田\u3000太郎,golf")),
)  # fmt: skip
TEMPLATES = (
    case("template", ("the template 'Who plays?' that was given has no {}", "put it where the entity's name goes"),
         options=("--template", "Who plays?"), cure=("--template", "{} plays")),
    case("template", ("'{} and {}' that was given has 2 times {}",), options=("--template", "{} and {}")),
    case("template", ("the template '' that was given has no {}",), options=("--template", "")),
    case("template", ("'none' of relation 'a' has no {}", "'{}{}' of relation 'b' has 2 times {}"),
         data=b"entity,relation,attribute,template\nA,a,x,none\nB,a,y,none\nC,b,x,{}{}\nD,b,y,{}{}\n",
         repaired=b"entity,relation,attribute,template\nA,a,x,{} is\nB,a,y,{} is\nC,b,x,{}\nD,b,y,{}\n"),
    case("template", ("'plays' of relation 'sport' has no {}",), file="facts.json",
         data=document({**LRE, "prompt_templates": ["plays"]}), repaired=document(LRE)),
    case("template", ("given for 2 relations ('a', 'b')", "select one relation"), options=("--template", "{} is"),
         data=b"entity,a,b\nAnn,x,y\nBob,z,w\n"),
)  # fmt: skip
BOS = (
    case("bos", ("the tokenizer of", "has no bos token", "--bos '<|endoftext|>'", "--bos none"), model="without bos",
         cured_model="without bos", cure=("--bos", "<|endoftext|>")),
    case("bos", ("has no token '<s>' to put first (--bos)",), model="without bos", options=("--bos", "<s>"),
         cured_model="without bos", cure=("--bos", "none")),
    case("bos", ("has no token '' to put first",), options=("--bos", "")),
    case("bos", ("has no token 'of the' to put first",), options=("--bos", "of the")),
    case("bos", ("the bos token '<new>'", "has the id 320; the model has 320 embeddings"), model="bos beyond",
         cured_model="bos beyond", cure=("--bos", "<|endoftext|>")),
)  # fmt: skip
SWALLOWED = (
    case("swallowed", ("row 2 ('Ann'): the token 'Ann is' straddles the entity's right border", LEAVE), model="merging",
         data=b"entity,sport\nAnn,golf\nBob,chess\nCid,golf\n", options=("--template", "It: {} is"),
         cured_model="merging", cure=("--template", "It: {}: is"),
         repaired=b"entity,sport\nAnn,golf\nBob,chess\nCid,golf\n"),
    case("swallowed", ("the token 'of Bob' straddles the entity's left border",), model="merging",
         data=b"entity,sport\nAnn,golf\nBob,chess\nCid,golf\n", options=("--template", "Fact of {}:")),
    case("swallowed", ("row 4 ('Cid'): the token \"Cid's\" straddles",), model="merging",
         data=b"entity,sport\nAnn,golf\nBob,chess\nCid,golf\n", options=("--template", "So {}'s sport is")),
    case("swallowed", ("the answer 'chess' merges with the prompt's last token",), model="merging",
         data=b"entity,sport\nAnn,golf\nBob,chess\nCid,golf\n", options=("--template", "{}: the sport")),
    case("swallowed",
         ("straddles the entity's left border (and likewise row 3 ('Bob'), row 4 ('Cid'))", "3 of 3 facts"),
         model="merging", data=b"entity,sport\nAnn,golf\nBob,chess\nCid,golf\n", options=("--template", "({}):")),
)  # fmt: skip
CONTEXT = (
    case("context", ("row 2 ('Ann Lee'): its prompt has", "at most 400 fit", "4 of 4 facts of relation 'sport'"),
         options=("--prefix", "word " * 100), cure=("--prefix", "word ")),
    case("context", ("its prompt has", "at most 400 fit"), options=("--template", "{} " + "word " * 100)),
    case("context", ("row 6", "at most 400 fit", "1 of 5 facts"), data=rows("x" * 240 + ",golf"),
         options=("--prefix", "word " * 45)),
    case("context", ("has 0 classes that can be asked (none)", "at most 400 fit"),
         options=("--prefix", "word " * 100, LEAVE)),
)  # fmt: skip
EMPTY = (
    case("empty", ("facts.csv is empty", "a row of column names"), data=b""),
    case("empty", ("facts.csv is empty",), data=b"\n\n\r\n"),
    case("empty", ("holds no rows", "at least one fact"), data=b"entity,sport\n"),
    case("empty", ("an empty list",), file="facts.json", data=b"[]"),
    case("empty", ("an empty list",), file="facts.jsonl", data=b"\n"),
    case("empty", ("holds no rows",), file="facts.parquet", data=parquet(entity=[], sport=[])),
    case("empty", ("holds no rows",), file="facts.json", data=b'{"entities": {}}'),
)  # fmt: skip
LARGE = (
    case("large", ("facts.csv holds 4 facts in 4 rows; at most 3 are taken", "--max-facts"),
         options=("--max-facts", "3"),
         cure=("--max-facts", "4")),
    case("large", ("holds 8 facts in 8 rows; at most 7",), options=("--max-facts", "7"),
         data=b"entity,a,b\n" + b"".join(b"N%d,x,y\n" % i for i in range(4))),
    case("large", ("holds 4 facts in 4 rows; at most 1",), file="facts.jsonl", options=("--max-facts", "1")),
    case("large", ("holds 30,000 facts in 30,000 rows; at most 1,000",), file="facts.parquet",
         options=("--max-facts", "1000"),
         data=parquet(entity=[f"N{i}" for i in range(30_000)], sport=["golf", "chess"] * 15_000)),
    case("large", ("holds 4 facts in 5 rows; at most 2", "row 6: the entity is empty"), data=rows(",golf"),
         options=("--max-facts", "2")),
    case("large", ("1,001 columns; at most 1,000",), data=(",".join(f"c{i}" for i in range(1001)) + "\n").encode()),
)  # fmt: skip
ENCODINGS = (
    case("encoding",
         ("is not UTF-8 text (it looks like UTF-16 text): byte 0xff at offset 0, in line 1", "save the file"),
         data=GOOD.encode("utf-16")),
    case("encoding", ("byte 0x00 at offset 1, in line 1", "looks like UTF-16"), data=GOOD.encode("utf-16-le")),
    case("encoding", ("byte 0xeb at offset", "in line 6"), data=GOOD.encode() + "Zoë,golf\n".encode("latin-1"),
         repaired="\ufeff".encode() + GOOD.encode() + "Zoë,golf\n".encode()),
    case("encoding", ("it looks like a zip archive or a spreadsheet",), data=b"PK\x03\x04\xff\x00\x01"),
    case("encoding", ("byte 0x00 at offset", "in line 2"), file="facts.json", data=b'[{"entity": "Ann",\n\0"a": 1}]'),
    case("encoding", ("row 6: the entity holds the replacement of a byte that was not read, U+FFFD",),
         data=rows("Zo\ufffd,golf"), repaired=rows("Zoë,golf")),
    case("encoding", ("it looks like a gzip archive",), file="facts.jsonl", data=b"\x1f\x8b\x08\x00\xff"),
)  # fmt: skip
FILES = (
    case("file", ("suffix '.xlsx'", ".csv, .tsv, .json, .jsonl, .parquet"), file="facts.xlsx", data=b"PK"),
    case("file", ("no readable parquet file",), file="facts.parquet", data=GOOD.encode()),
    case("file", ("facts.json is no readable JSON", "line 1 column 8"), file="facts.json", data=b'{"a": [}'),
    case("file", ("facts.jsonl, line 2 is no readable JSON", "line 3"), file="facts.jsonl",
         data=records(LONG[0]) + b"{nope\n[\n" + records(LONG[1])),
    case("file", ("line 6: 3 cells; expected 2", "line 7: 1 cells"), data=rows("Eve,golf,1", "Fay")),
    case("file", ("row from line 6 on", "balanced double quotes"), data=rows('"Eve,golf')),
    case("file", ("item 2: a int; expected an object",), file="facts.json", data=document([LONG[0], 3])),
)  # fmt: skip
ARGUMENTS = (
    case("argument", ("no table of facts 'nowhere.csv'", "athletes"), options=("--facts", "nowhere.csv")),
    case("argument", ("without .json files",), options=("--facts", "folder"), beside={"folder/readme.txt": b"x"}),
    case("argument", ("no relation 'team'", "'sport'"), options=("--relation", "team")),
    case("argument", ("no experiment is called guesswork",), options=("--experiments", "known_facts,guesswork")),
    case("argument", ("no control is called guesswork",), options=("--controls", "guesswork")),
    case("argument", ("cannot read settings from nowhere.json",), options=("--settings", "nowhere.json")),
    case("argument", ("unknown settings windowkeep", "setting seed is -1"), options=("--settings", "s.json"),
         beside={"s.json": b'{"windowkeep": 1, "seed": -1}'}),
    case("argument", ("setting window_keep is nan",), options=("--settings", "s.json"),
         beside={"s.json": b'{"window_keep": NaN}'}),
    case("argument", ("seed stands there more than once",), options=("--settings", "s.json"),
         beside={"s.json": b'{"seed": 1, "seed": 2}'}),
    case("argument", ("holds a list; expected one JSON object",), options=("--settings", "s.json"),
         beside={"s.json": b"[1]"}),
    case("argument", ("cannot read settings",), options=("--settings", "s.json"), beside={"s.json": b"[" * 100_000}),
    case("argument", ("afile is no folder",), options=("--out", "afile"), beside={"afile": b""}),
    case("argument", ("afile is no folder",), options=("--out", "afile/run"), beside={"afile": b""}),
    case("argument", ("more than 255 bytes",), options=("--out", "x" * 300)),
    case("argument", ("device 'gpu' cannot be used here",), options=("--device", "gpu")),
    case("argument", ("dtype 'int8' is not known",), options=("--dtype", "int8")),
    case("argument", ("no folder ./nowhere",), model="./nowhere"),
    case("argument", ("no folder not a model",), model="not a model"),
    case("argument", ("nofile is a file",), model="nofile", beside={"nofile": b""}),
)  # fmt: skip
CHECKPOINTS = (
    case("checkpoint", ("has no config.json",), model="without config"),
    case("checkpoint", ("has no weights; expected model.safetensors",), model="without weights"),
    case("checkpoint", ("has no tokenizer.json",), model="without tokenizer"),
    case("checkpoint", ("family 'falcon' are not served", "has no weights"), model="falcon"),
    case("checkpoint", ("has its weights in pytorch_model.bin alone, a pickle", "--allow-pickle"), model="pickled",
         cured_model="pickled", cure=("--allow-pickle",)),
    case("checkpoint", ("asks to run code of its own (auto_map", "AutoModelForCausalLM", "never runs code"),
         model="own code"),
    case("checkpoint", ("the tokenizer of", "asks to run code of its own"), model="own tokenizer code"),
    case("checkpoint", ("asks for a kernel from the hub",), model="hub kernel"),
    case("checkpoint", ("holds an adapter (adapter_config.json)",), model="adapter"),
    case("checkpoint", ("no whole safetensors file",), model="cut"),
    case("checkpoint", ("no whole safetensors file",), model="huge header"),
    case("checkpoint", ("no whole safetensors file",), model="offsets beyond"),
    case("checkpoint", ("names the file '../../weights.safetensors'; expected a plain name",), model="escaping index"),
    case("checkpoint", ("lacks a.safetensors, which model.safetensors.index.json names",), model="lacking shard"),
    case("checkpoint", ("speaks of 1,000,000,000 layers",), model="endless layers"),
    case("checkpoint", ("speaks of 1,000,000,000,000 × 16 embeddings",), model="endless vocabulary"),
    case("checkpoint", ("a normalizer that makes up to",), model="growing tokenizer"),
    case("checkpoint", ("config.json holds a list; expected one JSON object",), model="listed config"),
    case("checkpoint", ("cannot load", "config.json"), model="nested config"),
    case("checkpoint", ("cannot load",), model="empty tokenizer"),
)  # fmt: skip
CUTS = (
    case("cuts", ("row 2: the cut is 'two'; expected a whole number", "row 3: its cut at 7 lies outside the name; "
                  "expected 1 to 6", "2 of 4 rows are no facts", LEAVE),
         data=b"entity,sport,cut\nAnn Lee,golf,two\nBob Day,chess,7\nCid Fox,golf,4\nDee Orr,rugby,\n"),
    case("cuts", ("the entity has conflicting cuts: 3, 4",),
         data=b"entity,relation,attribute,cut\nAnn Lee,sport,golf,3\nAnn Lee,sport,golf,4\nBob Day,sport,chess,\n"),
    case("cuts", ("row 2 ('Eve'): its cut behind 'Ev' lies inside a token; cut it where a token begins", LEAVE),
         model="merging", options=("--template", "It: {} was"), cure=("--template", "It: {} was"),
         cured_model="merging", data=b"entity,sport,cut\nEve,golf,2\nBob,chess,\nCid,golf,\n",
         repaired=b"entity,sport,cut\nEve,golf,\nBob,chess,\nCid,golf,\n"),
    case("cuts", ("relation 'sport' has 0 classes that can be asked", "its cut behind", "lies inside a token"),
         model="merging", options=("--template", "It: {} was", LEAVE), cure=("--template", "It: {} was"),
         cured_model="merging", data=b"entity,sport,cut\nEve,golf,1\nIvo,chess,2\n",
         repaired=b"entity,sport\nEve,golf\nIvo,chess\n"),
    case("cuts", ("cuts names 'Eve Ives', which entities does not hold",), file="facts.json",
         data=document({"entities": {e: {"sport": a} for e, a in ROWS}, "cuts": {"Eve Ives": 3}})),
    case("cuts", ("cuts is a list; expected an object",), file="facts.json",
         data=document({"entities": {e: {"sport": a} for e, a in ROWS}, "cuts": [3]})),
)  # fmt: skip

CASES = (
    *MISSING_COLUMNS, *EMPTY_OR_DOUBLE, *ANSWERS, *ONE_CLASS, *TOKENS, *CONTROL, *SCRIPTS, *TEMPLATES, *BOS, *SWALLOWED,
    *CONTEXT, *EMPTY, *LARGE, *ENCODINGS, *FILES, *ARGUMENTS, *CHECKPOINTS, *CUTS,
)  # fmt: skip
# the classes that a table of facts can be wrong in, each with at least four cases
KINDS = (
    "columns", "entities", "answers", "one class", "tokens", "control characters", "scripts", "template", "bos",
    "swallowed", "context", "empty", "large", "encoding", "cuts",
)  # fmt: skip
