# Two commands a newcomer needs: `make reproduce` and `make test`. Each makes .venv by itself.
PYTHON ?= python3
BIN := .venv/bin
SCRIPT := src/optoscope/explorer/script

.PHONY: reproduce test check format slow campaign benchmark docs explorer explorer-check clean

reproduce: .venv/.runtime
	$(BIN)/optoscope reproduce --out out/reproduce --force

test: .venv/.dev
	$(BIN)/pytest -n auto --dist loadfile -m "not slow"

slow: .venv/.dev
	$(BIN)/pytest -m slow

campaign: .venv/.dev
	$(BIN)/python -m tests.campaign --page docs/campaign.md

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python -m benchmarks.pages --check

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/.docs
	$(BIN)/sphinx-build -W --keep-going -q -d out/doctrees docs out/docs

# The script of the interactive page; it needs npm. What it makes is in the repository, so that nobody else needs it.
explorer: $(SCRIPT)/node_modules
	cd $(SCRIPT) && npm run build

# Its linter and its unit tests. With the packages that this installs, `make test` runs axe-core on the page as well.
explorer-check: $(SCRIPT)/node_modules
	cd $(SCRIPT) && npm run check

$(SCRIPT)/node_modules: $(SCRIPT)/package-lock.json
	cd $(SCRIPT) && npm ci --ignore-scripts
	@touch $@

benchmark: .venv/.runtime
	$(BIN)/python -m benchmarks

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "optoscope needs Python 3.11 or newer; run: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.runtime: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@ .venv/.runtime

.venv/.docs: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@touch $@

clean:
	rm -rf .venv out
