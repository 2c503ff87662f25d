# make run ARGS="model.max_depth=15"     PYTHON=python3.12 make run     (needs Python >= 3.11, git and make)
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

# Compiled bytecode makes every start 2.5 times as fast. pip compiles what it installs, uv only when told.
ifdef UV
make_venv = $(UV) venv --quiet --python $(PYTHON) $(VENV)
install = VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --compile-bytecode
else
make_venv = $(PYTHON) -m venv $(VENV)
install = PIP_CONSTRAINT= $(BIN)/python -m pip install --quiet --disable-pip-version-check --compile
endif
# hatchling is in the lock, so that building this package needs nothing that is not
install_lock = $(install) --require-hashes -r $(1) && $(install) --no-deps --no-build-isolation -e . \
	&& $(BIN)/python -m compileall -q boston_exp

.PHONY: help run check test proof reproduce faults lint env stack bench gallery lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 10

run: $(VENV)/.installed  ## set everything up and train the default experiment; ARGS="model.max_depth=15" changes it
	@$(BIN)/python -m boston_exp.run $(ARGS)

check: $(VENV)/.installed-dev lint  ## lint, types and the quick tests, in a minute and a half: the loop of a day
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test: $(VENV)/.installed-dev lint  ## lint, types and all tests
	$(BIN)/python -m pytest $(ARGS)

proof: $(VENV)/.installed-dev  ## what takes longer than a test may, its tables in docs/proofs/
	$(BIN)/python -m tests.faults.worker_kills >docs/proofs/worker_kills.md
	$(BIN)/python -m tests.lifecycle.simulations >docs/proofs/statistics.md
	$(BIN)/python -m tests.experiment.interval_coverage >docs/proofs/intervals.md
	$(BIN)/python -m tests.experiment.checks.null_rates >docs/proofs/checks.md
	$(BIN)/python -m tests.experiment.tables_proof >docs/proofs/tables.md
	$(BIN)/python -m tests.experiment.interval_width >docs/proofs/interval_width.md
	$(BIN)/python -m tests.sweep.automl_proof >docs/proofs/automl.md

faults: $(VENV)/.installed-dev  ## harm to requests, processes, disks and servers, as tables in docs/proofs/; an hour or more
	$(BIN)/python -m tests.faults.requests_lost $(ARGS) >docs/proofs/requests.md
	$(BIN)/python -m tests.faults.kills >docs/proofs/kills.md
	$(BIN)/python -m tests.faults.disk >docs/proofs/disk.md
	$(BIN)/python -m tests.faults.together >docs/proofs/together.md
	$(BIN)/python -m tests.faults.outage >docs/proofs/outage.md
	$(BIN)/python -m tests.faults.detached >docs/proofs/cluster.md

reproduce: $(VENV)/.installed-dev  ## the commands of README and other documents again, each digit compared; ARGS=data/README.md
	@$(BIN)/python -m tests.documented $(ARGS)

lint: $(VENV)/.installed-dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

env: $(VENV)/.installed  ## write .env with a random value for every password and key that has none
	@$(BIN)/python compose/make_env.py

stack: $(VENV)/.installed-dev  ## MLflow server and S3 gateway without Docker, until Ctrl-C; data in .stack/
	@$(BIN)/python compose/make_env.py 2>/dev/null
	@PATH="$(CURDIR)/$(BIN):$$PATH" python compose/given.py MLFLOW_PORT MINIO_PORT -- python compose/ports.py
	@PATH="$(CURDIR)/$(BIN):$$PATH" honcho -e /dev/null -f compose/Procfile -d . start

bench: $(VENV)/.installed-dev  ## what a run costs, as medians and ratios against a bare script
	$(BIN)/python -m tests.benchmarks $(ARGS)
	$(BIN)/python -m tests.benchmarks.sweeps
	$(BIN)/python -m tests.benchmarks.stack
	$(BIN)/python -m tests.benchmarks.history
	$(BIN)/python -m tests.benchmarks.points
	$(BIN)/python -m tests.benchmarks.balance
	$(BIN)/python -m tests.benchmarks.fidelity
	$(BIN)/python -m tests.benchmarks.growth
	$(BIN)/python -m tests.benchmarks.predict
	$(BIN)/python -m tests.benchmarks.promote

gallery: $(VENV)/.installed-dev  ## the pictures of docs/gallery.md, from real runs in a headless Chromium
	$(BIN)/python -m tests.gallery

lock: $(VENV)/.installed-dev  ## renew requirements.lock and requirements-dev.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --group build pyproject.toml \
		-o requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --group build --group test \
		--extra ray --extra slurm --extra postgres --extra stack --extra dvclive \
		--extra excel --extra boosting --extra quantile --extra dashboard \
		-c requirements.lock pyproject.toml -o requirements-dev.lock
	@printf 'mlflow[auth]\npsycopg2-binary\nboto3\nminio\n' | $(BIN)/uv pip compile --quiet --universal \
		--python-version 3.12 --generate-hashes --no-header -c requirements-dev.lock - -o compose/mlflow/requirements.lock

clean:  ## remove the environment; runs, stores and data stay
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12 run" if sys.version_info < (3, 11) else 0)'
	@echo "creating $(VENV) and installing from the lock (once; a minute or two)"
	@$(make_venv)

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	@$(call install_lock,requirements.lock)
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock requirements.lock pyproject.toml | $(VENV)/bin/python
	@$(call install_lock,requirements-dev.lock)
	@touch $@ $(VENV)/.installed
