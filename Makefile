# Every command that a newcomer or CI needs; each works in a fresh clone.
PYTHON ?= python3
VENV ?= .venv
# Of pyproject.toml; with spark and ksqldb (which needs a JDK and a C compiler) all tests run.
EXTRAS ?= test

.PHONY: help demo install test test-slow test-faults soak lint docs bench pictures

help: ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/  —/'

$(VENV)/demo-ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e ".[$(EXTRAS)]"
	touch $@ $(VENV)/demo-ready

demo: $(VENV)/demo-ready ## run the whole thing on sample events and show metrics
	$(VENV)/bin/opensea-metrics demo

install: $(VENV)/ready ## make .venv with everything for development

# The command is started some hundred times. Without bytecode, each start would compile all its modules.
unexport PYTHONDONTWRITEBYTECODE

# Three files at a time, because tests wait half of their time; one after the other against a ksqlDB that they share.
PYTEST = $(VENV)/bin/python -m pytest $(if $(KSQLDB_URL),,-n 3 --dist loadfile --no-loadscope-reorder)

test: install ## run the tests, but for the slow ones
	$(PYTEST) -m "not slow"

test-slow: install ## run the slow tests: races, faults, clusters
	$(PYTEST) -m slow

test-faults: install ## a thousand schedules of faults between the migration tool and a server
	FAULT_SEEDS=500 $(VENV)/bin/python -m pytest tests/deploy/test_faults.py

soak: install ## 300 random schedules of kill -9, lost files, full disks … against the embedded server
	SOAK_SCHEDULES=300 SOAK_SEED=$${SOAK_SEED:-$$(date +%s)} $(VENV)/bin/python -m pytest tests/embedded/test_soak.py
	KILLS=300 $(VENV)/bin/python -m pytest tests/embedded/test_kills.py
	HOSTILE=all $(VENV)/bin/python -m pytest tests/embedded/test_hostile.py
	JOIN_EXAMPLES=200 $(VENV)/bin/python -m pytest tests/embedded/test_joins.py tests/spark_batch/test_recompute_joins.py

# The report names the modules that mypy has checked.
lint: install ## ruff, and mypy of every Python file that git has
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy --linecount-report .mypy_cache/lines
	$(VENV)/bin/python -m tests.typed_files .mypy_cache/lines

docs: install ## write docs/reference/ and docs/sql-support.md, which show what the code has
	$(VENV)/bin/python -m tests.sql_support > docs/sql-support.md.new
	mv docs/sql-support.md.new docs/sql-support.md
	$(VENV)/bin/python -m tests.docs.reference

bench: install ## figures of speed with their goals, each beside what it is compared with
	$(VENV)/bin/python -m tests.bench.start
	$(VENV)/bin/python -m tests.bench.apply
	$(VENV)/bin/python -m tests.bench.demo
	$(VENV)/bin/python -m tests.bench.producer
	$(VENV)/bin/python -m tests.bench.recompute
	$(VENV)/bin/python -m tests.bench.replay
	$(VENV)/bin/python -m tests.bench.freshness
	$(VENV)/bin/python -m tests.bench.lookups
	$(VENV)/bin/python -m tests.bench.real

pictures: install ## take the pictures of the dashboard for README and docs; needs Chromium
	$(VENV)/bin/python -m tests.dashboard.pictures
