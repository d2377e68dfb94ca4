#!/usr/bin/env bash
# Installs proofrig from the action's own folder into the Python on PATH, which is also the one that
# the agent's packages are in. Nothing is done where this very version is there already.
set -euo pipefail

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "::error title=proofrig::Python 3.11 or newer is needed; give \`python: \"3.12\"\` to the action"
  exit 2
fi

wanted=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$GITHUB_ACTION_PATH/pyproject.toml")
if [ "$(python3 -m proofrig --version 2>/dev/null || true)" = "proofrig, version $wanted" ]; then
  echo "proofrig $wanted is installed"
  exit 0
fi

if ! python3 -m pip install --disable-pip-version-check --quiet "$GITHUB_ACTION_PATH"; then
  echo "::error title=proofrig::proofrig could not be installed; a Python that the system manages" \
    "refuses packages: give \`python: \"3.12\"\` to the action, or use actions/setup-python before it"
  exit 2
fi
python3 -m proofrig --version
