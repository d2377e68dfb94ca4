#!/usr/bin/env bash
# Shows the run on GitHub: the step summary (at most 1 MiB; the report keeps below 64 kB), then the
# annotations. They are a step of their own, because GitHub shows ten of a level for each step.
set -euo pipefail

cat "$FOLDER/summary.md" >> "$GITHUB_STEP_SUMMARY"
if [ -f "$FOLDER/run.annotations" ]; then
  cat "$FOLDER/run.annotations"
fi
