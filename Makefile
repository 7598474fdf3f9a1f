# `make demo` and `make test` start from a bare clone: they set up what they need once, later runs skip it.
VENV ?= .venv
# test processes, one thread each
WORKERS ?= 2
BIN := $(VENV)/bin
export TORCH_INDEX PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs server clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.stamp-library ## virtual environment with the tested packages (CPU torch unless CUDA is found), and the library

$(VENV)/.stamp-all: pyproject.toml infra/setup.sh infra/constraints.txt
	@bash infra/setup.sh $(VENV) all && touch $@

# once for the user, whatever the environment, and again where the program reads it anew; without a network it says so
# and everything else works
$(VENV)/.stamp-library: $(VENV)/.stamp-all dao_core/library/folder.py dao_core/library/install.py
	@$(BIN)/dao library install && touch $@

$(VENV)/.stamp-test: pyproject.toml infra/setup.sh infra/constraints.txt
	@bash infra/setup.sh $(VENV) test,chgnet && touch $@ $(VENV)/.stamp-all

$(VENV)/.stamp-dev: pyproject.toml infra/setup.sh infra/constraints.txt
	@bash infra/setup.sh $(VENV) dev && touch $@ $(VENV)/.stamp-test $(VENV)/.stamp-all

$(VENV)/.stamp-docs: pyproject.toml infra/setup.sh infra/constraints.txt
	@bash infra/setup.sh $(VENV) all,docs && touch $@ $(VENV)/.stamp-all

demo: $(VENV)/.stamp-library ## the whole campaign on the embedded sample, offline, under 10 minutes on 2 cores
	@$(BIN)/dao campaign configs/campaign-demo.yaml

test: $(VENV)/.stamp-test ## every test that needs nothing but this checkout
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m "not shared and not qe and not browser and not peers and not server" $(TESTS)

lint: $(VENV)/.stamp-dev ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

docs: $(VENV)/.stamp-docs ## the documentation site, into site/ (warnings are errors)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo "docs: site/index.html"

server: $(VENV)/.stamp-all ## a Prefect server with a process worker (PostgreSQL where DAO_DATABASE_URL names one)
	@bash infra/server.sh $(BIN)

clean: ## what the demo and builds left behind (not the virtual environment, nor your runs)
	rm -rf runs/demo site .pytest_cache .mypy_cache .ruff_cache .hypothesis lightning_logs
