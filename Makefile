# Each target sets up its own .venv first; nothing else is needed than Python 3.10 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# a file is tested by one process, which makes its fixtures once; tests/conftest.py puts long files first
TEST := $(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all check bench docs clean

demo: $(VENV)/ready
	$(BIN)/unlearn-bench demo

test: $(VENV)/ready-test
	$(TEST) -m "not slow"

test-all: $(VENV)/ready-test
	$(TEST)

check: $(VENV)/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/ready
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/training_step.py --width 16 --precision float32 --threads 1 --batch 16 --steps 40
	$(BIN)/python benchmarks/layouts.py
	$(BIN)/python benchmarks/several_models.py
	$(BIN)/python benchmarks/several_models.py --width 16 --precision float32 --batch 16 --steps 60
	$(BIN)/python benchmarks/fisher_diagonal.py
	$(BIN)/python benchmarks/database.py
	$(BIN)/python benchmarks/orchestration.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/audit_speed.py

docs: $(VENV)/ready
	$(BIN)/pip install --quiet --editable ".[docs]"
	$(BIN)/sphinx-build -E -W -n --quiet -c docs . site

$(VENV)/ready: pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/ready-test: pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@ $(VENV)/ready

clean:
	rm -rf $(VENV)
