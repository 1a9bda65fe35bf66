# Every target sets up .venv by itself; PYTHON is any Python >= 3.11 with the venv module.
PYTHON ?= python3
VENV ?= .venv
# The exact version has a CPU build where the extra's range might choose one of several GB.
TORCH ?= torch==2.13.0
JOBS ?= 2
BIN = $(VENV)/bin
READY = $(VENV)/.ready
# One thread for each process; modules are compiled once, not by each of the hundred processes that tests start.
TESTING = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

.PHONY: help setup demo test slow examples lint types check docs site bench wheel clean
.DEFAULT_GOAL := help

help:             ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 10

setup: $(READY)   ## .venv with everything that the other targets need

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: make PYTHON=python3.11 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps mup==1.0.0  # only tests compare with it; it asks for torchvision
	touch $@

demo: $(READY)    ## derive the rules of Mamba, explain one, write them as PyTorch code, measure them
	$(BIN)/scalerules derive mamba
	$(BIN)/scalerules explain mamba W_B
	$(BIN)/scalerules emit mamba --to pytorch -o mamba_rules.py
	$(BIN)/scalerules verify mamba --sizes 64,128,256,512 --seeds 2

test: $(READY)    ## the tests, code blocks of README and docs included
	$(TESTING) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q -m "not slow"

slow: $(READY)    ## the long tests: measurements of many graphs, training runs, killed sweeps
	$(TESTING) $(BIN)/python -m pytest -n $(JOBS) -q -m slow

examples: $(READY)  ## the scripts of examples/, shortened
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -q tests/test_examples.py

lint: $(READY)    ## ruff, and the layers of the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports --no-cache

types: $(READY)   ## pyright, strict for the engine
	$(BIN)/pyright

check: $(READY)   ## derivations/ and the pages of the site are what the engine gives now
	$(BIN)/scalerules check
	$(BIN)/python -m docs.site.drift

site: $(READY)    ## the documentation as a site in build/site, every rule derived anew
	OMP_NUM_THREADS=1 $(BIN)/python -m docs.site --jobs $(JOBS)

bench: $(READY)   ## the benchmarks, as one table (installs what they compare with)
	$(BIN)/python -m pip install --quiet --editable '.[dev,bench]'
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks

docs: $(READY)    ## writes derivations/ again, and what the pages of the site say
	$(BIN)/scalerules check --write
	$(BIN)/python -m docs.site.drift --write

wheel: $(READY)   ## dist/*.whl
	rm -rf build
	$(BIN)/python -m build --wheel --outdir dist .

clean:            ## removes what was built, not .venv
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
