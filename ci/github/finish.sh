#!/usr/bin/env bash
# Ends the job with what proofrig ended with. Inconclusive (4) is a warning unless it shall fail.
set -euo pipefail

case "$EXIT_CODE" in
  0) ;;
  4)
    if [ "$FAIL_ON_INCONCLUSIVE" = true ]; then
      echo "::error title=proofrig::Inconclusive: too little was measured to decide"
      exit 4
    fi
    echo "::warning title=proofrig::Inconclusive: too little was measured to decide; not a pass"
    ;;
  *) exit "$EXIT_CODE" ;;
esac
