"""Facts: from a table to prompts and the spans in them.

A reader (one file per layout in `readers`) gives raw rows, `rows.assemble` makes a `FactTable` of them,
`build_prompts` puts one relation's facts before a tokenizer.
"""

from rote.facts.prompts import POSITIONS, NamePrompts, RelationPrompts, build_prompts
from rote.facts.read import BUILT_IN, read_facts
from rote.facts.rows import default_template
from rote.facts.spans import Tokenizer
from rote.facts.table import Fact, FactTable, LeftOut, Relation
