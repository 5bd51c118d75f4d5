# make demo   sets everything up and samples the cutout that ships with the package
# make test   sets everything up and runs the tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-newer lint bench clean

demo: $(VENV)/.installed
	$(BIN)/dustpost demo --out out

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile

# the same tests on every newer Python that is found (ArviZ 1.x from 3.12 on)
test-newer:
	@for version in 3.12 3.13; do \
	  python=$$(ls $$HOME/.pyenv/versions/$$version*/bin/python$$version 2>/dev/null | tail -n 1); \
	  python=$${python:-$$(command -v python$$version)}; \
	  if [ -n "$$python" ] && "$$python" -c "" 2>/dev/null; then \
	    $(MAKE) test PYTHON="$$python" VENV=.venv-$$version || exit 1; \
	  else echo "no python$$version here: skipped"; fi; \
	done

lint: $(VENV)/.installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/times_each_part.py

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[hsc,dev]'
	touch $@

clean:
	rm -rf .venv .venv-* out build dist
