# polymode. `make` alone lists what there is; nothing but Python 3.11 or newer and make has to be there first.

PYTHON ?= python3
BIN := .venv/bin
SRC := src tests tools benchmarks
# At most four processes: each loads torch.
PYTEST_FLAGS ?= -n auto --maxprocesses 4

# Compiled bytecode is kept whatever the caller's environment says: importing TRL takes 6 s with it, 15 s without.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-verl check docs browser lint types imports unit mutants format setup clean

help: ## this list
	@echo "polymode: reinforcement learning that keeps every good answer"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Everything lives in .venv, made on first use. Options:"
	@echo "  make demo DEMO_ARGS='--task die --seed 1'        arguments of \`polymode demo\`"
	@echo "  make test PYTEST_FLAGS='-k anchor -x'            arguments of pytest"
	@echo "  make PYTHON=python3.12 demo                      another interpreter"

demo: .venv/.run ## post-train the embedded model twice, plain and anchored, and compare with the promises
	$(BIN)/polymode demo $(DEMO_ARGS)

test: check unit ## everything CI runs: the checks below, then all tests, offline
check: lint types imports ## lint, types and import directions: the quick half of `make test`

# The same build is one of the tests; the setting keeps the theme's notice about its successor off the screen.
docs: export NO_MKDOCS_2_WARNING = true
docs: .venv/.dev ## build the documentation into build/site; warnings are errors
	$(BIN)/mkdocs build --strict --quiet
	@echo "open build/site/index.html, or for search and live reload: $(BIN)/mkdocs serve"

# Pages are tested in the system's Chromium; without it, or the right to install it, those tests are skipped and say so.
browser: ## install Chromium for the tests of pages (Debian, as root)
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
			|| echo "Chromium could not be installed: the tests of pages in a browser are skipped"; \
	else echo "no Chromium, and no right to install it: the tests of pages in a browser are skipped"; fi

lint: .venv/.dev
	$(BIN)/ruff check $(SRC)
	$(BIN)/ruff format --check $(SRC)
	$(BIN)/typos

# The setting keeps pyright from asking the network for a newer version.
types: export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1
types: .venv/.dev
	$(BIN)/pyright --pythonpath $(BIN)/python

imports: .venv/.dev
	$(BIN)/lint-imports

# One thread per process: the tests run side by side, and small matrices lose by sharing cores.
unit: export HF_HUB_OFFLINE = 1
unit: export HYPOTHESIS_PROFILE ?= ci
unit: export OMP_NUM_THREADS = 1
unit: export TOKENIZERS_PARALLELISM = false
unit: .venv/.dev
	$(BIN)/pytest $(PYTEST_FLAGS)

# verl wants other versions than TRL does, hence an environment of its own (2 GB, three minutes); its
# imports warn about engines that are not there.
test-verl: export HF_HUB_OFFLINE = 1
test-verl: export OMP_NUM_THREADS = 1
test-verl: .venv-verl/.verl ## what the audit claims about verl, against verl's own code
	.venv-verl/bin/pytest tests/verl -o filterwarnings=ignore

mutants: .venv/.dev ## sabotage the core line by line: do the tests notice? (ten minutes)
	$(BIN)/python tools/mutants.py

format: .venv/.dev ## rewrite the sources as `make check` wants them
	$(BIN)/ruff check --fix $(SRC)
	$(BIN)/ruff format $(SRC)

setup: .venv/.dev ## only make .venv
clean: ## remove .venv and every cache
	rm -rf .venv .venv-verl .venv.lock .hypothesis .import_linter_cache .pytest_cache .ruff_cache build dist
	find src tests tools -name __pycache__ -prune -exec rm -rf {} +

.venv/.run: pyproject.toml constraints.txt tools/venv.py
	@$(PYTHON) tools/venv.py run

.venv/.dev: .venv/.run
	@$(PYTHON) tools/venv.py dev

.venv-verl/.verl: pyproject.toml constraints.txt tools/venv.py
	@$(PYTHON) tools/venv.py verl
