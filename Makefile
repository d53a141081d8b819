# Each target makes .venv and installs on first use; nothing is done twice.
#
#   make demo     the whole idea on real handwritten digits, offline
#   make test     the tests
#   make check    style, types, layering; README, docs and examples are executed; the long tests
#   make test-experiments   the tests of experiments/, a package of its own
#   make bench    timings
#   make clean    removes .venv and what tools left behind
#
# PYTHON=python3.12 chooses the Python that .venv is made with (3.11 or later).
# TANAS_DATA=DIR    names the folder that holds MNIST, Fashion-MNIST and Quick, Draw! where they are there.

PYTHON ?= python3
PY := .venv/bin/python
BENCHMARKS ?= benchmarks/speed.py

# A stamp is newer than pyproject.toml if what that asks for is installed.
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev
INSTALLED_EXPERIMENTS := .venv/.installed-experiments

.PHONY: demo test test-experiments check bench clean

demo: $(INSTALLED)
	$(PY) -m tanas demo

# One thread: networks of tests are tiny, and threads that wait for each other would be most of the time.
test: $(INSTALLED_DEV)
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-experiments: $(INSTALLED_EXPERIMENTS)
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses auto --dist loadfile experiments/tests

check: $(INSTALLED_EXPERIMENTS)
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) -m tanas_experiments.pages --check
	$(PY) scripts/run_docs.py
	OMP_NUM_THREADS=1 $(PY) -m pytest -m long --numprocesses auto --dist loadfile

bench: $(INSTALLED)
	@test -n "$(BENCHMARKS)" || { echo "There is no benchmark in benchmarks/." >&2; exit 1; }
	@set -e; for benchmark in $(BENCHMARKS); do echo "== $$benchmark"; $(PY) "$$benchmark"; done

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist
	find src tests scripts experiments -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "tanas needs Python 3.11 or later. Name one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# torch and torchvision are dependencies of the package: one resolve picks builds that match.
$(INSTALLED): pyproject.toml | $(PY)
	$(PY) -m pip install -e .
	@touch $@

$(INSTALLED_DEV): pyproject.toml | $(PY)
	$(PY) -m pip install -e '.[dev]'
	@touch $(INSTALLED) $@

$(INSTALLED_EXPERIMENTS): experiments/pyproject.toml $(INSTALLED_DEV)
	$(PY) -m pip install -e experiments
	@touch $@
