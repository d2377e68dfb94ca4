"""Schemathesis against the authority's service, all phases: `python -m slow.authority_service`.

Three runs: without keys, with an administrator's key, with a tenant's. Exits 1 at any failure.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from authority_process import ADMIN, KEYS, POLICY, TENANT, schemathesis, serving


def main(examples: int) -> int:
    failed = 0
    for name, key in (("without keys", ""), ("administrator", ADMIN), ("tenant", TENANT)):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "policy.yaml").write_text(POLICY)
            (folder / "keys.json").write_text(KEYS)
            words = ["--policy", str(folder / "policy.yaml"), "--journal", str(folder / "journal")]
            words += ["--keys", str(folder / "keys.json")] if key else []
            with serving(*words) as process:
                limit = ("--max-examples", str(examples))
                code, said = schemathesis(process.url, folder, *limit, key=key)
        print(f"== {name}: {'clean' if code == 0 else 'NOT CLEAN'}\n{said}")
        failed += code != 0
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
