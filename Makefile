# make demo    set everything up and run the main job on synthetic scenes
# make test    set everything up and pass the checks and the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
AUDIT := ../$(BIN)/audit

.PHONY: demo test check coverage bench web docs lock clean

demo: $(READY)
	mkdir -p .demo
	cd .demo && $(AUDIT) synth scenes --images 300 --seed 7 --texture "star dot" --marker "triangle cross"
	cd .demo && $(AUDIT) index scenes
	cd .demo && $(AUDIT) metrics
	cd .demo && $(AUDIT) context --by bg_act_wo_fg
	cd .demo && $(AUDIT) map
	cd .demo && $(AUDIT) similar --patch images/000000.png:0,6
	cd .demo && $(AUDIT) match images/000003.png images/000011.png
	cd .demo && $(AUDIT) report --patch images/000000.png:0,6
	@echo; echo "Two faults are planted in these scenes; open .demo/reports/scenes-symbols.html. What audit finds:"
	cd .demo && $(AUDIT) findings

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

coverage: $(READY)  # lines and branches that the tests run, in the processes that they start too
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest --numprocesses auto --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --sort=cover

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'audit needs Python 3.11 or newer; name one with: make PYTHON=python3.12')"
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

web:  # the page's script from its TypeScript sources; needs Node, which nothing else does
	cd auditor/report/web && npm ci --silent && npm run --silent check && npm run --silent build

bench: $(READY)  # ratios measured side by side; the last ones are in benchmarks/RESULTS.md
	$(BIN)/python benchmarks/bench.py

docs: $(READY)  # docs/metrics.md, from the records
	$(BIN)/python docs/generate_metrics.py

lock:  # refresh requirements.lock from what pyproject.toml admits today
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet '.[dev]'
	$(VENV)-lock/bin/python .ci/lock.py > requirements.lock.new
	mv requirements.lock.new requirements.lock && rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) .demo dist
