"""Early MLPs hidden from the readout heads' keys or values: accuracy under each."""

from __future__ import annotations

from rote.experiments.key_or_value.card import CARD
from rote.page.document import Guide
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import ABLATION_WORDS, SOURCE_MLP, By, lines
from rote.page.shapes import curve, figure, pivot

_PATH = By(of=lambda r: (r.condition or "").partition(":")[0], words={"key": "key", "value": "value"})
_HOW = By(of=lambda r: (r.condition or "").partition(":")[2], words=ABLATION_WORDS)
_METRICS = (("accuracy", "among all tokens"), ("accuracy_cls", "among the classes"))


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    charts, tables = [], []
    for metric, words in _METRICS:
        found = lines((r for r in here.rows(metric) if r.source is not None), _PATH, _HOW)
        clean = here.rows(metric, condition="clean")
        guides = [Guide(value=row.value, label="nothing ablated") for row in clean]
        charts.append(curve(words, found, y="accuracy", x=SOURCE_MLP, joined=False, apart=0.12, guides=guides))
        caption = f"Accuracy {words}" + "".join(f"; nothing ablated: {row.number} {row.interval}" for row in clean)
        tables.append(pivot(caption, found, SOURCE_MLP))
    yield figure(
        "Accuracy with one MLP at the last name token hidden from the readout heads' keys or from their values.",
        "Points per MLP: low under the key where the MLP says where to look, low under the value where it says what.",
        *charts,
    )
    yield from tables
