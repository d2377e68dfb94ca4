#!/usr/bin/env bash
# Runs a suite in any CI system, against a baseline that is one file.
#
#   ci/shell/example.sh [further words for `proofrig run`]
#
#   SUITE      the suite                                          (default: .)
#   BASELINE   the baseline's file: keep it in the cache of your CI, or commit it
#                                                                 (default: baseline.json)
#   REPORTS    the folder for reports: keep it as an artifact      (default: reports)
#   ON_MAIN    true on the main branch: nothing is held against the baseline there, and a run that
#              passed its gates becomes it
#
# Exit codes: 0 pass, 1 a gate failed, 4 too little was measured to decide; docs/guides/ci.md has all.
set -euo pipefail

suite=${SUITE:-.} baseline=${BASELINE:-baseline.json} reports=${REPORTS:-reports}

against=()
if [ "${ON_MAIN:-}" != true ] && [ -f "$baseline" ]; then
  against=(--baseline "$baseline")
fi

code=0
proofrig run "$suite" "${against[@]}" "$@" \
  -o "$reports/report.html" -o "$reports/junit.xml" -o "$reports/summary.md" || code=$?

if [ "${ON_MAIN:-}" = true ] && [ "$code" -eq 0 ]; then
  proofrig baseline export last "$baseline"
fi
exit "$code"
