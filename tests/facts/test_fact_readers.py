"""Every layout gives the planted facts; the published samples are read whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from fact_tokenizers import SHARED, needs

from rote.facts import FactTable, default_template, read_facts

PLANTED = {"Ann Lee": ("golf", "PGA"), "Bob Day": ("chess", "FIDE"), "Zoë Ng": ("golf", "LPGA")}
LONG = [(e, r, a) for i, r in enumerate(("sport", "league")) for e, pair in PLANTED.items() for a in [pair[i]]]
TRIPLES = set(LONG)


def triples(table: FactTable) -> set[tuple[str, str, str]]:
    return {(fact.entity, fact.relation, fact.attribute) for fact in table.facts}


def long_frame() -> pd.DataFrame:
    return pd.DataFrame(LONG, columns=["entity", "relation", "attribute"])


def wide_frame(entity: str = "entity") -> pd.DataFrame:
    return pd.DataFrame([(e, *pair) for e, pair in PLANTED.items()], columns=[entity, "sport", "league"])


def rote_layout() -> str:
    return json.dumps(
        {
            "relations": {
                "sport": {"template": "{} plays", "prefix": "x\n"},
                "league": {"template": "{} in"},
            },
            "entities": {e: {"sport": s, "league": league} for e, (s, league) in PLANTED.items()},
            "fiction": ["Zoë Ng"],
        }
    )


def lines(frame: pd.DataFrame) -> str:
    return "\n".join(json.dumps(record) for record in frame.to_dict("records")) + "\n\n"


WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "csv, long": ("t.csv", lambda path: long_frame().to_csv(path, index=False)),
    "csv, wide": ("t.csv", lambda path: wide_frame().to_csv(path, index=False)),
    "csv, wide, with an index column": ("t.csv", lambda path: wide_frame("athlete").to_csv(path)),
    "csv, wide, byte order mark": (
        "t.CSV",
        lambda path: wide_frame().to_csv(path, index=False, encoding="utf-8-sig"),
    ),
    "csv, windows line ends": (
        "t.csv",
        lambda path: wide_frame().to_csv(path, index=False, lineterminator="\r\n"),
    ),
    "tsv, long": ("t.tsv", lambda path: long_frame().to_csv(path, index=False, sep="\t")),
    "tsv, wide": ("t.tsv", lambda path: wide_frame("Subject").to_csv(path, index=False, sep="\t")),
    "parquet, long": ("t.parquet", lambda path: long_frame().to_parquet(path)),
    "parquet, wide": ("t.parquet", lambda path: wide_frame("name").to_parquet(path)),
    "json records, long": ("t.json", lambda path: path.write_text(long_frame().to_json(orient="records"))),
    "json records, wide": ("t.json", lambda path: path.write_text(wide_frame().to_json(orient="records"))),
    "jsonl, long": ("t.jsonl", lambda path: path.write_text(lines(long_frame()))),
    "jsonl, wide": ("t.jsonl", lambda path: path.write_text(lines(wide_frame("subject")))),
    "rote's own": ("t.json", lambda path: path.write_text(rote_layout())),
}


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_gives_the_planted_facts(layout: str, tmp_path: Path) -> None:
    name, write = WRITERS[layout]
    write(tmp_path / name)
    for source in (tmp_path / name, str(tmp_path / name)):
        table = read_facts(source)
        assert triples(table) == TRIPLES
        assert [relation.name for relation in table.relations] == ["sport", "league"]
        assert table.left_out == ()
        assert table.name == "t"
    one = read_facts(tmp_path / name, relation="league", template="{} is in", prefix="p ")
    assert triples(one) == {triple for triple in TRIPLES if triple[1] == "league"}
    assert (one.relations[0].template, one.relations[0].prefix) == ("{} is in", "p ")


@pytest.mark.parametrize("frame", [long_frame(), wide_frame()])
def test_data_frames(frame: pd.DataFrame) -> None:
    table = read_facts(frame)
    assert triples(table) == TRIPLES
    assert table.name == "table"
    assert read_facts(frame, relation=["sport", "league"]).hash == table.hash


def test_one_content_has_one_hash_whatever_the_file() -> None:
    assert read_facts(long_frame()).hash == read_facts(wide_frame("athlete")).hash


def test_a_table_without_templates_is_asked_by_the_default() -> None:
    assert read_facts(wide_frame()).relation("sport").template == "Fact: The sport of {} is"
    assert default_template("birth_place") == "Fact: The birth place of {} is"
    assert read_facts(wide_frame()).relation("sport").prefix == ""


def test_a_long_table_without_relations_takes_the_given_name() -> None:
    frame = long_frame().query("relation == 'sport'")[["entity", "attribute"]]
    assert triples(read_facts(frame, relation="sport")) == {t for t in TRIPLES if t[1] == "sport"}


def test_templates_and_prefixes_in_columns() -> None:
    frame = long_frame().assign(
        template=["{} plays"] + [None] * 2 + ["{} in"] * 3, prefix=["a\n"] * 3 + [float("nan")] * 3
    )
    sport, league = read_facts(frame).relations
    assert (sport.template, sport.prefix) == ("{} plays", "a\n")
    assert (league.template, league.prefix) == ("{} in", "")
    assert read_facts(frame, prefix="").relation("sport").prefix == ""


def test_several_templates_of_a_relation_become_relations_and_can_be_taken_together() -> None:
    frame = pd.DataFrame(
        {
            "entity": ["a", "b", "c"],
            "relation": "r",
            "attribute": ["x", "y", "x"],
            "template": ["{} is", "{} was", "{} is"],
        }
    )
    names = [relation.name for relation in read_facts(frame).relations]
    assert names == ["r: {} is", "r: {} was"]
    assert [r.name for r in read_facts(frame, relation="r").relations] == names
    assert [r.name for r in read_facts(frame, relation="r: {} was").relations] == ["r: {} was"]
    assert [r.name for r in read_facts(frame, relation="r", template="{}:").relations] == ["r"]


def test_empty_cells_and_duplicates_are_left_out_with_row_and_reason() -> None:
    frame = pd.DataFrame(
        {
            "entity": ["a", "b", None, "c", "a", "b", "d", "e", "f"],
            "year": [1999, 2001.0, 1, None, "1999", 2002, True, {1: 2}, "\ud800"],
        }
    )
    table = read_facts(frame)
    assert triples(table) == {("a", "year", "1999"), ("d", "year", "True")}
    reasons = {(left.entity, left.reason.split(":")[0]): left.reason for left in table.left_out}
    assert "the entity is empty" in reasons["", "row 3"]
    assert "the attribute is empty" in reasons["c", "row 4"]
    assert "kept once" in reasons["a", "row 5"]
    assert "conflicting attributes: '2001', '2002'" in reasons["b", "row 2"]
    assert "conflicting" in reasons["b", "row 6"]
    assert "the attribute is a dict" in reasons["e", "row 8"]
    assert "no valid Unicode" in reasons["f", "row 9"]
    assert len(table.left_out) + len(table.facts) == len(frame)


def test_csv_rows_are_counted_as_in_the_file_and_na_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("entity,sport\nNA,golf\nNone,\n")
    table = read_facts(tmp_path / "t.csv")
    assert table.entities == ("NA",)
    assert table.left_out[0].reason == "row 3: the attribute is empty"


def test_fiction_is_marked(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(rote_layout())
    assert read_facts(tmp_path / "t.json").fiction == ("Zoë Ng",)
    assert read_facts(tmp_path / "t.json", relation="sport").relations[0].prefix == "x\n"


def test_counterfact_as_published(tmp_path: Path) -> None:
    def case(number: int, subject: object, prompt: object, true: str) -> dict[str, object]:
        rewrite = {
            "prompt": prompt,
            "relation_id": "P103",
            "subject": subject,
            "target_true": {"str": true, "id": "Q1"},
            "target_new": {"str": "Klingon"},
        }
        return {"case_id": number, "requested_rewrite": rewrite}

    tongue = "The mother tongue of {} is"
    cases = [
        case(0, "Ann", tongue, "French"),
        case(1, "Bob", tongue, "Dutch"),
        case(2, None, tongue, "Dutch"),
    ]
    (tmp_path / "c.json").write_text(json.dumps([*cases, case(3, "Cy", 7, "Dutch"), {"requested_rewrite": []}]))
    table = read_facts(tmp_path / "c.json")
    assert triples(table) == {("Ann", "P103", "French"), ("Bob", "P103", "Dutch")}
    assert table.relations[0].template == tongue
    assert [left.reason.split(":")[0] for left in table.left_out] == ["case 2", "case 3", "case 5"]


def test_easyedit(tmp_path: Path) -> None:
    rows = [
        ("Ann", "Ann was born in", "Rome"),
        ("Bob", "Bob was born in", "Oslo"),
        ("Cy", "He was born in", "Bern"),
        ("Di", "Di and Di were born in", "Kiel"),
    ]
    data = [
        {"case_id": i, "prompt": p, "subject": s, "ground_truth": a, "target_new": "X"}
        for i, (s, p, a) in enumerate(rows)
    ]
    (tmp_path / "e.json").write_text(json.dumps(data))
    table = read_facts(tmp_path / "e.json")
    assert triples(table) == {("Ann", "{} was born in", "Rome"), ("Bob", "{} was born in", "Oslo")}
    assert table.relations[0].template == table.relations[0].name == "{} was born in"
    assert "'Cy' 0 times" in table.left_out[0].reason
    assert "'Di' 2 times" in table.left_out[1].reason


def test_known_1000_asks_the_prompt_not_the_template(tmp_path: Path) -> None:
    item = {
        "known_id": 0,
        "subject": "Vinson",
        "attribute": "Antarctica",
        "template": "{} is in the continent",
        "prompt": "Vinson is in the continent of",
        "relation_id": "P30",
    }
    (tmp_path / "k.json").write_text(json.dumps([item]))
    table = read_facts(tmp_path / "k.json")
    assert table.relations[0].name == "P30"
    assert table.relations[0].prompt("Vinson") == item["prompt"]


def test_lre_file_and_folder(tmp_path: Path) -> None:
    for i, name in enumerate(("plays sport", "speaks")):
        folder = tmp_path / f"kind{i}"
        folder.mkdir()
        data = {
            "name": name,
            "prompt_templates": ["{} does", "other {}"],
            "samples": [{"subject": "Ann", "object": f"x{i}"}, {"subject": "Bob", "object": "y"}],
        }
        (folder / "r.json").write_text(json.dumps(data))
    one = read_facts(tmp_path / "kind0" / "r.json")
    assert (one.relations[0].name, one.relations[0].template) == ("plays sport", "{} does")
    both = read_facts(tmp_path)
    assert [relation.name for relation in both.relations] == ["plays sport", "speaks"]
    assert len(both.facts) == 4
    assert both.name == tmp_path.name


@needs(SHARED / "lre_relations")
def test_published_lre_relations() -> None:
    table = read_facts(SHARED / "lre_relations" / "data")
    assert len(table.relations) == 47
    assert len(table.of("plays pro sport")) == 318


@needs(SHARED / "known_1000")
def test_published_known_1000() -> None:
    path = SHARED / "known_1000" / "known_1000.json"
    published = {item["prompt"] for item in json.loads(path.read_text(encoding="utf-8"))}
    table = read_facts(path)
    assert len(table.facts) == 1209
    assert all(table.relation(fact.relation).prompt(fact.entity) in published for fact in table.facts[::50])


@needs(SHARED / "counterfact")
def test_published_counterfact_in_easyedits_layout() -> None:
    path = SHARED / "counterfact" / "counterfact-val.json"
    published = json.loads(path.read_text(encoding="utf-8"))
    table = read_facts(path)
    assert len(table.facts) + len(table.left_out) == len(published)
    prompts = {item["prompt"] for item in published}
    assert all(table.relation(fact.relation).prompt(fact.entity) in prompts for fact in table.facts[::50])


@needs(SHARED / "athletes")
def test_of_the_studys_columns_only_sport_is_a_relation() -> None:
    table = read_facts(SHARED / "athletes" / "sports_original.csv")
    assert [relation.name for relation in table.relations] == ["sport"]
    assert len(table.facts) == 1559
    assert len(table.left_out) == 7
    assert table.relations[0].prefix.endswith("golf\n")
