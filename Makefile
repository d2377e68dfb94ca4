# Every verb sets up what it needs. CI runs the same lines.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: setup fmt check test power decisions verdicts fault-reactions fuzz crash security demo bench frameworks docs build clean redis sandbox-tools images

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "proofrig needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv --clear $(VENV) || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv --clear $(VENV); }
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

fmt: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: setup redis sandbox-tools
	@$(MAKE) --no-print-directory --output-sync=target -j2 check images
	$(BIN)/python -m pytest -n 3

# The tests drive a real Redis server; without the right to install it, those are skipped and say so.
redis:
	@command -v redis-server >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq redis-server >/dev/null; } || echo "redis-server is not installed; the tests that need it are skipped"

# What boxes are made with, and what their tests look at: a program that shows it is there, and its Debian package.
SANDBOX_TOOLS = bwrap:bubblewrap qemu-system-x86_64:qemu-system-x86 mksquashfs:squashfs-tools mkfs.ext4:e2fsprogs \
	podman:podman crun:crun newuidmap:uidmap runsc:runsc busybox:busybox-static

# Installs what is missing where that is allowed, else says what it is; the tests that need it are skipped and say so.
sandbox-tools:
	@missing=; for pair in $(SANDBOX_TOOLS); do \
	  PATH="$$PATH:/usr/sbin:/sbin" command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; \
	done; [ -z "$$missing" ] || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; } || \
	echo "not installed:$$missing (apt-get install$$missing); the tests that need them are skipped"

# The images of boxes: the plain one, and the one that the examples share; then each level is tried once,
# which boots the vm that later ones are copies of.
images: setup sandbox-tools
	@{ $(BIN)/proofrig image build --plain && $(BIN)/proofrig image build examples/support_desk; } || \
	  echo "the images could not be built; the tests that need them are skipped"
	@$(BIN)/proofrig doctor --only sandbox

# How well the checkers find what is wrong, and leave alone what is right: writes docs/detection-power.md.
power: setup redis
	cd tests && ../$(BIN)/python -m specimens.power --write

# False alarms and power of the rule that compares runs: writes docs/decisions-power.md.
decisions: setup
	$(BIN)/python benchmarks/bench_decisions.py --replicates 600 --seed 1 --write --check

# Verdicts end to end, on the support desk: 40 pairs of equal agents, 10 with a worse one, 3 with one that acts otherwise.
verdicts: setup
	cd tests && ../$(BIN)/python -m slow.verdicts

# The authority's service against many generated requests; CI runs a small slice of it in `make test`.
fuzz: setup
	cd tests && ../$(BIN)/python -m slow.authority_service

# kill -9 before and after every write of the ledger's journal; CI runs a dozen of them in `make test`.
crash: setup
	PROOFRIG_SLOW=1 $(BIN)/python -m pytest -n 2 tests/end_to_end/test_killed.py

# All attacks at every level, as much of each as there is; `make test` tries a slice of them.
security: setup sandbox-tools
	PROOFRIG_SLOW=1 $(BIN)/python -m pytest -n 0 tests/security

# The main job on real input, offline, with reports: what authority does, agents on real SDKs, many at
# once, and one while others fail, recorded and replayed.
demo: setup sandbox-tools
	@mkdir -p .proofrig
	@$(BIN)/proofrig demo
	@for example in support_desk coding_fix contention; do \
	  echo; echo "== examples/$$example"; \
	  $(BIN)/proofrig run examples/$$example -o .proofrig/$$example.html || [ $$? -le 1 ] || exit 1; \
	done
	@echo; echo "== examples/contention, all at once"
	@$(BIN)/proofrig run examples/contention --scenario all -o .proofrig/contention_lab.html; [ $$? -eq 1 ] || { echo "expected findings"; exit 1; }
	@echo; echo "== examples/contention/fixed.yaml, all at once"
	@$(BIN)/proofrig run examples/contention/fixed.yaml --scenario all -o .proofrig/contention_fixed.html || [ $$? -eq 4 ] || exit 1
	@echo; echo "== examples/support_desk/faults.yaml, recorded"
	@$(BIN)/proofrig record examples/support_desk/faults.yaml -o .proofrig/support_desk_faults.html
	@echo; echo "== the same, replayed without its model"
	@$(BIN)/proofrig run examples/support_desk/faults.yaml --replay last -q
	@echo; echo "Reports: .proofrig/support_desk.html, support_desk_faults.html, coding_fix.html, contention.html (alone), contention_lab.html and contention_fixed.html"

# Every benchmark prints its own reference from the same run.
bench: setup
	@for bench in benchmarks/bench_*.py; do echo; echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

# How SDKs and frameworks take every fault: writes docs/fault-reactions.md. Frameworks get cached environments.
fault-reactions: setup
	$(BIN)/python -m reactions

# Each agent framework in a cached environment of its own; not part of `make test`.
frameworks: setup
	$(BIN)/python -m frameworks.run

# Regenerates what is made from code: the command line reference and the suite's schema.
docs: setup
	$(BIN)/python -m proofrig.suites.schema
	$(BIN)/python docs/generate.py

build: setup
	rm -rf dist
	$(BIN)/python -m hatchling build -t wheel -t sdist

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .proofrig dist build
