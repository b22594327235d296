# Everything runs in .venv (LiteLLM in .venv-litellm); nothing touches the system Python. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo-result
# Tests at once.
JOBS ?= 2

.PHONY: help demo test check lint types tests test-fast test-cluster test-litellm test-compose docs-check bench local-model format clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: .venv/core ## Install the core, evolve circle packing without key or network, show what improved
	@rm -rf $(DEMO) && mkdir $(DEMO)
	$(BIN)/evolve run circle_packing --steps 2000 --seed 0 --archive $(DEMO)/evolve.db
	@echo; echo "What was changed:"; $(BIN)/evolve diff initial best --archive $(DEMO)/evolve.db
	@echo; $(BIN)/evolve best --output $(DEMO)/best --archive $(DEMO)/evolve.db
	@echo; echo "The packing is drawn in $(DEMO)/best/figure.png. Next: look around with"
	@echo "  $(BIN)/evolve show --archive $(DEMO)/evolve.db"
	@echo "  $(BIN)/evolve tree --archive $(DEMO)/evolve.db"
	@echo "  $(BIN)/evolve task new my_task      (write a task of your own; docs/first-tour.md)"

test: .venv/dev lint types tests ## Install everything that the tests need, then lint, types, tests

check: test ## The same, as contributors call it

test-compose: .venv/dev ## Build the image and bring the compose file up: a Docker engine with Compose 2, or root on Debian 12 (7 minutes)
	$(BIN)/pytest -m docker tests/cluster/test_compose.py

lint: .venv/dev ## Format and lint, nothing is changed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/dev ## mypy --strict on an installed copy: checkers do not follow editable mappings
	@rm -rf build
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --upgrade --target build/check .
	cd build/check && ../../$(BIN)/mypy --strict --config-file ../../pyproject.toml -p evolve --exclude 'tasks/[^/]+/'

tests: .venv/dev ## The whole suite, JOBS tests at once
	$(BIN)/pytest -n $(JOBS)

test-fast: .venv/dev ## The suite without the slow tests
	$(BIN)/pytest -m "not slow and not cluster and not docker"

test-cluster: .venv/dev ## The tests on real Ray clusters: nodes that join, die, stop and are cut off (about ten minutes)
	timeout --foreground 2400 $(BIN)/pytest -m cluster -n $(JOBS) --dist loadfile tests/cluster

test-litellm: .venv-litellm/ready ## The tests of language models, with LiteLLM and the older openai SDK in an environment of their own
	.venv-litellm/bin/pytest -p no:cacheprovider tests/llm tests/contracts/test_language_model.py

bench: .venv/dev ## Measure speed, memory and disk; writes benchmarks/RESULTS.md
	$(BIN)/python benchmarks/run.py

local-model: ## Fetch a small language model and its server to ~/.cache/evolve/models (3.4 GB free; docs/local-models.md)
	@$(PYTHON) benchmarks/local_model/fetch.py

format: .venv/dev ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove everything that was built
	rm -rf .venv .venv-litellm build dist $(DEMO) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Stamps: an environment is made once, and again when what it is made from changes.
.venv/bin/python .venv-litellm/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11; run: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(@D:/bin=) || { echo "error: $(PYTHON) cannot make environments; on Debian or Ubuntu: apt-get install python3-venv"; rm -rf $(@D:/bin=); exit 1; }

.venv/core: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/dev: .venv/core
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.venv-litellm/ready: .venv-litellm/bin/python pyproject.toml constraints-litellm.txt
	.venv-litellm/bin/pip install --quiet --disable-pip-version-check -c constraints-litellm.txt -e '.[litellm]' 'openai<3' pytest hypothesis
	@touch $@
