# A machine needs Python >= 3.11 and make; the rest comes into .venv. Another Python: make PYTHON=python3.12 demo
PYTHON ?= python3
# processes of the tests, one thread each: quicker than one process with two threads
JOBS ?= 2
LAB_FLAGS ?=
VENV := .venv
PY := $(VENV)/bin/python
# images of containers often forbid it; the tests start some hundred processes, and each would compile the package anew
export PYTHONDONTWRITEBYTECODE :=
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -p no:nbval -n $(JOBS) --dist worksteal
NBVAL = XFM_SCALE=smoke OMP_NUM_THREADS=1 $(PY) -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=120
# those of `make test`, two lanes side by side; 03 opens the run that 02 trains
SECOND_LANE := 00_start_here 04_stop_gradient
FIRST_LANE := 02_pretrain 03_evaluate
notebooks_of = $(patsubst %,notebooks/%.ipynb,$(1))
PIP_QUIET := $(if $(V),,--quiet)

.PHONY: site help demo lab test test-all static lint js unit notebooks browser full lessons attack gallery bench gpu clean \
  again
# one thing at a time also under `make -j`: the steps share the same few cores
.NOTPARALLEL:

help:
	@echo 'make demo    pretrain the demo recipe on the embedded data, evaluate it, write its report'
	@echo 'make lab     open JupyterLab on the notebooks'
	@echo 'make test    in 12 minutes: lint, the views'"'"' JavaScript, unit tests, four notebooks, views in a browser;'
	@echo '             also one by one: make lint | js | unit | notebooks | browser'
	@echo 'make test-all  make test, and then what it leaves out: make full (tests marked so) | lessons (notebooks)'
	@echo 'make attack  kills, races, damaged files, hostile texts, for a minute (XFM_ATTACK=long: an hour)'
	@echo 'make gallery draw all views in Chromium into docs/gallery.jpg'
	@echo 'make site    build the site, for any static host or from disk: build/site/index.html'
	@echo 'make bench   run the benchmarks that the README quotes'
	@echo 'make gpu     check and time training on a CUDA GPU; where there is none it says so, and does nothing'
	@echo 'make clean   remove .venv, caches and build leftovers; runs/ stays'
	@echo 'Each installs what it lacks into .venv first (V=1 shows how).'

demo: $(VENV)/run.stamp
	@$(VENV)/bin/xfm pretrain demo

lab: $(VENV)/run.stamp
	@echo 'JupyterLab opens notebooks/00_start_here.ipynb (Ctrl-C here ends it; options: make lab LAB_FLAGS="--no-browser --port 9999")'
	@$(PY) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(LAB_FLAGS)

test: static unit notebooks browser
	@echo 'make test: all passed'

test-all: test full lessons
	@echo 'make test-all: all passed'

# side by side: one thread each
static: $(VENV)/dev.stamp
	@$(MAKE) --no-print-directory js & js=$$!; $(MAKE) --no-print-directory lint; lint=$$?; wait $$js && exit $$lint

lint: $(VENV)/dev.stamp
	@echo '== ruff, the house (docs/architecture.md) and pyright'
	@failed=0; \
	$(PY) -m ruff check --output-format concise . || failed=1; \
	$(PY) -m ruff format --check . || failed=1; \
	$(PY) scripts/house.py || failed=1; \
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(PY) -m pyright --pythonpath $(PY) || failed=1; \
	exit $$failed

# Node.js comes with pyright; biome and typescript from the npm registry, once (XFM_JS=required: must be there)
js: $(VENV)/dev.stamp
	@echo '== views: biome, tsc, node --test'
	@OMP_NUM_THREADS=1 $(PY) widgets/check.py

unit: $(VENV)/dev.stamp
	@echo '== unit tests'
	@$(PYTEST) -m 'not full' --ignore tests/browser tests

notebooks: $(VENV)/dev.stamp
	@echo '== notebooks, at smoke scale'
	@rm -rf runs/smoke runs/smoke-lesson runs/[23]-steps  # of an earlier recipe, perhaps
	@$(NBVAL) $(call notebooks_of,$(FIRST_LANE)) & first=$$!; \
	$(NBVAL) $(call notebooks_of,$(SECOND_LANE)); second=$$?; wait $$first && exit $$second

# a JupyterLab a process; where there is no Chromium it says so (XFM_BROWSER=required makes that a failure)
browser: $(VENV)/dev.stamp
	@echo '== views, in JupyterLab in Chromium'
	@$(PYTEST) -m 'not full' tests/browser

full: $(VENV)/dev.stamp
	@echo '== tests that only test-all runs: hosts, widths, the attack, slow processes'
	@$(PYTEST) -m full tests

# loadfile: a notebook's cells are one process's
lessons: $(VENV)/dev.stamp
	@echo '== the other notebooks, at smoke scale'
	@$(NBVAL) -n $(JOBS) --dist loadfile \
	  $(filter-out $(call notebooks_of,$(SECOND_LANE) $(FIRST_LANE)),$(wildcard notebooks/*.ipynb))

# part of `make full`, and alone; XFM_ATTACK=long takes an hour (docs/reliability.md)
attack: $(VENV)/dev.stamp
	@OMP_NUM_THREADS=1 $(PY) -m pytest tests/attack

# CONTRIBUTING.md has what a release checks
site: $(VENV)/dev.stamp
	@rm -rf build/site
	@$(PY) docs/course/live_pages.py build/extra
	@$(PY) -m sphinx -W --keep-going -q -b html -c docs -d build/doctrees . build/site
	@du -sh build/site && echo "build/site/index.html"

gallery: $(VENV)/dev.stamp
	@$(PY) scripts/make_screenshots.py

bench: $(VENV)/dev.stamp
	@for file in benchmarks/*.py; do echo "== $$file"; $(PY) "$$file" || exit 1; done

# CONTRIBUTING.md has what it checks
gpu: $(VENV)/dev.stamp
	@if $(PY) -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; \
	then $(PY) -m pytest -m cuda tests && $(PY) benchmarks/gpu.py; \
	else echo 'make gpu: torch finds no CUDA device on this machine: nothing tested, nothing measured'; fi

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis widgets/node_modules
	find . -name .git -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# The installation, done once: a stamp is older than pyproject.toml only when there is something to install.
$(VENV)/run.stamp: $(VENV)/place pyproject.toml
	@echo 'Installing X-FM Lab into $(VENV): over 1 GB the first time, so minutes, without a word (V=1 shows more) ...'
	@$(PY) -m pip install $(PIP_QUIET) --disable-pip-version-check -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/place pyproject.toml
	@echo 'Installing X-FM Lab and its tests into $(VENV): over 1 GB the first time, so minutes, without a word (V=1 shows more) ...'
	@$(PY) -m pip install $(PIP_QUIET) --disable-pip-version-check -e '.[dev]'
	@touch $(VENV)/run.stamp $@

# A venv knows its folder by name. One that came along with a copied or moved checkout would run the old folder's code,
# and one whose Python has gone runs nothing: both are made anew. A .venv that is not from here is kept and added to.
ifneq "$(shell $(PY) -c '' 2>/dev/null && cat $(VENV)/place)" "$(CURDIR)"
$(VENV)/place: again
endif
$(VENV)/place:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "X-FM Lab needs Python 3.11 or newer, but $(PYTHON) is: $$("$(PYTHON)" --version 2>&1)"; \
	  echo 'Name another one: make PYTHON=python3.12 $(or $(MAKECMDGOALS),demo)'; exit 1; } >&2
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) comes without venv. On Debian or Ubuntu, as root:" \
	  "apt-get install python$$("$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"; exit 1; } >&2
	@echo "Making $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv $(if $(wildcard $(VENV)/place),--clear) $(VENV)
	@printf '%s\n' "$(CURDIR)" > $@
