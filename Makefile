.PHONY: demo test test-slow test-ray check install dist docs precision bench crosscheck notebook calibration calibration-parts chaos chaos-ray overhead memorisation rehearsal clean

VENV ?= .venv
BIN := $(VENV)/bin
# Blocks freed by torch stay in the process: without this, small models on a CPU lose most of their time to page faults.
export MALLOC_MMAP_THRESHOLD_ ?= 1073741824
export MALLOC_TRIM_THRESHOLD_ ?= 2147483647
export MALLOC_TOP_PAD_ ?= 67108864

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install  ## the bundled organism, whole study; prints where the report is
	$(BIN)/rote demo --out runs/demo

test: install  ## all fast tests, a file on each of two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: install  ## tests that train models
	$(BIN)/python -m pytest -m slow

test-ray: install $(VENV)/.ray  ## tests of the Ray executor, which `make test` skips where Ray is not installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/execute tests/experiments/test_pipeline_elsewhere.py

$(VENV)/.ray: pyproject.toml constraints.txt | install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[ray]'
	touch $@

check: install  ## style, types, the direction of imports
	$(BIN)/ruff check src tests examples calibration benchmarks chaos release docs/*.py
	$(BIN)/ruff format --check src tests examples calibration benchmarks chaos release docs/*.py
	$(BIN)/mypy
	$(BIN)/lint-imports

# Without the egg-info setuptools packs anew what pyproject.toml names; with it, all that was packed before as well.
dist: install  ## sdist, the wheel made from it, and the demo from that wheel alone, elsewhere; prints where the report is
	rm -rf build dist src/*.egg-info
	$(BIN)/python -m build
	$(BIN)/python -m release.wheel dist/*.whl
	set -e; away=$$(mktemp -d); python3 -m venv $$away/venv; \
	$$away/venv/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl; \
	cd $$away; unset PYTHONPATH; venv/bin/rote demo --out $$away/demo; test -s demo/report.html; rm -r venv

docs: install  ## documents that are generated
	$(BIN)/python -m rote.report.reference docs/experiments.md
	$(BIN)/python docs/tables.py
	$(BIN)/python docs/families.py

calibration: install  ## certify the judge on planted worlds (an hour and a half on two cores); goes on where it was
	OMP_NUM_THREADS=1 $(BIN)/python -m calibration observe
	$(BIN)/python -m calibration certify

calibration-parts: install  ## the certified words on worlds whose people share few, many or unequal parts (three minutes on two cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m calibration parts --worlds runs/calibration/parts.jsonl --n-worlds 3

precision: install  ## every statistic of the demo in bfloat16 beside float32, to docs/precision.md
	$(BIN)/python -m benchmarks.precision

chaos: install  ## kill a small study at every boundary, and the whole command at random (10 minutes on two cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m chaos

overhead: install  ## what records, observations, fingerprints, lock and log cost beside the demo's measurements (2 minutes)
	$(BIN)/python -m chaos.overhead

chaos-ray: install $(VENV)/.ray  ## five Ray nodes die in the middle of a small study (10 minutes on two cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m chaos.nodes

memorisation: install  ## run both toys in full (5 to 20 minutes on two cores; goes on where it was), write docs/memorisation.md
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[figures]'
	$(BIN)/rote toy memorisation --out runs/toy-memorisation
	$(BIN)/rote toy capacity --out runs/toy-capacity
	$(BIN)/python docs/memorisation.py runs/toy-memorisation runs/toy-capacity

bench: install  ## rote beside its peers, at most an hour on a quiet machine; goes on where it was; BENCH=--quick to try
	$(BIN)/python -m benchmarks $(BENCH)

rehearsal: install  ## a whole study of random weights in Pythia-2.8B's shape, timed (an hour); TOKENIZER=FOLDER with its tokenizer
	$(BIN)/python -m benchmarks.rehearsal --tokenizer $(TOKENIZER)

crosscheck: install  ## the same quantities from rote, TransformerLens and nnsight
	$(BIN)/python -m benchmarks.crosscheck

notebook: install  ## execute the notebooks again, in place
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[notebook]'
	OMP_NUM_THREADS=1 $(BIN)/python examples/execute.py examples/*.ipynb

clean:
	rm -rf $(VENV) build dist runs .mypy_cache .ruff_cache .pytest_cache
