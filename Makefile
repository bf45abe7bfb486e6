# `make` lists what there is. Everything runs on this machine; no account, no network but for packages.

PYTHON ?= python3
UV := uv==0.13.8
VENV := .venv
BIN := $(VENV)/bin

# Test workers, two more than there are CPUs, since tests wait for the servers that they start: make test WORKERS=4. Each
# takes the next test when it is free. WORKERS=0 runs everything in one process, as --pdb needs it.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 2)')
# More for pytest: make test ARGS="-k merge -x"
ARGS ?=
# What the chances of make chaos and make fuzz begin with; without it, another number each time.
SEED ?=
# Python keeps what it compiles, even where the environment tells it not to (as images for containers do): the tests
# start more than a hundred processes, and each would compile all that it imports.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos fuzz lint format bench docs pictures programs bundle terraform lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/synced ## create .venv with what local runs and tests need

$(VENV)/synced: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Python 3.11 or newer is needed as $(PYTHON); name another one: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo 'The module venv is missing; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## sync a sample Matomo into a DuckDB file and show the data
	$(BIN)/matomo-fn demo

test: setup programs lint ## everything that CI runs
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=worksteal $(ARGS)

chaos: setup programs ## faults of Matomo, kills and doubled messages at full size, in half an hour; repeat one by SEED=17
	$(BIN)/python -m tests.chaos --seed="$(SEED)"

fuzz: setup ## 10,000 inputs of each kind, from a seed that is printed; EXAMPLES and SEED set them
	@seed="$(SEED)"; test -n "$$seed" || seed=$$($(BIN)/python -c 'import random; print(random.randrange(2**32))'); \
		echo "make fuzz SEED=$$seed repeats it"; EXAMPLES=$${EXAMPLES:-10000} $(BIN)/python -m pytest \
		--numprocesses=$(WORKERS) --dist=worksteal --timeout=0 --hypothesis-seed=$$seed \
		tests/fuzz tests/events/test_collect_fuzz.py $(ARGS)

lint: setup ## style, types, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure, and print a table
	$(BIN)/python -W error -m benchmarks

docs: setup ## write docs/tables.md and the sources in dbt/ from the catalogue, and the answers in docs/cookbook.md
	$(BIN)/python -m tools.tables_doc
	$(BIN)/python -m tools.dbt_package
	$(BIN)/python -m tools.cookbook_answers

pictures: setup ## draw the README's pictures, from a run of the demo
	$(BIN)/python -m tools.pictures

programs: setup ## build the emulators of BigQuery and Pub/Sub, and Terraform, and get a browser, for the tests, once
	@$(BIN)/python tools/go_programs.py
	@$(BIN)/python -m tools.environments
	-@$(BIN)/python -m tools.browser

bundle: setup ## pack what is deployed into dist/
	$(BIN)/python -m tools.bundle

terraform: ## check the deployment with Terraform and its providers; no account, but its registry
	terraform fmt -check -recursive -diff terraform
	terraform -chdir=terraform init -backend=false -input=false
	terraform -chdir=terraform validate
	terraform -chdir=terraform test

lock: setup ## pin the newest versions that requirements*.in allow
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes requirements-function.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes requirements-dev.in -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --override requirements-dbt-overrides.in requirements-dbt.in -o requirements-dbt.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes requirements-checkov.in -o requirements-checkov.txt

clean: ## remove what make created here (built programs stay in the cache)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
