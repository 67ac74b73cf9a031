from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "facts"))  # the tokenizers are the facts',
sys.path.insert(0, str(Path(__file__).parents[1] / "model"))  # and the tiny models the model layer's
