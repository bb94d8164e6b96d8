# Every target first sets up .venv in this folder, once: it is renewed when pyproject.toml or uv.lock change, and nothing is downloaded otherwise.
# `make UV= ...` takes pip although uv is there, `make PYTHON=python3.12 UV= ...` another interpreter, `make -B setup EXTRAS="dev tensorflow"` more extras.

PYTHON ?= python3
EXTRAS ?= dev
VENV := .venv
STAMP := $(VENV)/.installed

ifeq ($(origin UV),undefined)
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv)
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test check docs bench bench-kernels conformance paper lock wheel clean

help:  ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP)  ## install edgeff and its development tools into .venv

$(STAMP): pyproject.toml uv.lock
ifneq ($(UV),)
	UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync --frozen --inexact $(addprefix --extra ,$(EXTRAS))
else
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))' || { echo "edgeff needs Python 3.10 or newer with venv: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -e '.[$(subst $(subst ,, ),$(subst ,,,),$(strip $(EXTRAS)))]'
endif
	@touch $@

demo: $(STAMP)  ## train, quantise, export, build and learn on an emulated Cortex-M4: ends in a table and runs/demo/report.html
	$(VENV)/bin/edgeff demo

test: $(STAMP)  ## run the tests, on all cores; SLOW=1: the slow ones too, as CI does
	$(VENV)/bin/python -m pytest -n auto $(if $(SLOW),,-m 'not slow')

check: $(STAMP)  ## lint, format, types, imports between layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(STAMP)  ## the pages of docs/, notebooks, the Python interface and the reports in runs/ as a site in build/site (installs mkdocs-material into .venv)
	@$(VENV)/bin/python -c "import mkdocs, mkdocstrings_handlers.python" 2>/dev/null || $(MAKE) --always-make setup EXTRAS="$(EXTRAS) docs"
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

bench: $(STAMP)  ## every figure of docs/results again, and its tables (resumable; FRESH=--fresh begins anew)
	for name in speed memory device_learning accuracy; do $(VENV)/bin/python benchmarks/$$name.py $(FRESH) || exit 1; done
	$(VENV)/bin/python benchmarks/demo.py
	$(VENV)/bin/python benchmarks/tables.py

bench-kernels: $(STAMP)  ## instructions, code and stack of the int8 kernels beside their targets (FRESH=--fresh counts anew)
	$(VENV)/bin/python benchmarks/kernels.py $(FRESH)

conformance: $(STAMP)  ## others' test vectors, and every operator in every format (FRESH=--fresh begins anew)
	$(VENV)/bin/python benchmarks/conformance.py $(FRESH)
	$(VENV)/bin/python benchmarks/tables.py

paper: $(STAMP)  ## every figure as SVG and every table as LaTeX from results, into runs/paper
	$(VENV)/bin/python benchmarks/paper.py

lock:  ## renew uv.lock from pyproject.toml (needs uv), from PyPI alone
	uv lock --no-config --default-index https://pypi.org/simple
	@! grep -Eo '(file|https?)://[^/"]*' uv.lock | grep -Ev '^https://(pypi\.org|files\.pythonhosted\.org)$$'

wheel: $(STAMP)  ## build a wheel into dist/
	$(VENV)/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean:  ## remove .venv and everything that was built
	rm -rf $(VENV) build dist runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
