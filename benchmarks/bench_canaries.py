"""How fast texts are searched for canaries, which disguises are found, what is taken for one.

    python benchmarks/bench_canaries.py [FOLDER ...] [--megabytes 20] [--canaries 200] [--check]

Speed is CPU time on one core, beside `bytes.lower()` over the same bytes in the same run, on the
texts of the folders (default: this project and the Python packages around it), and on payloads of
model calls made of them, twice nested as a tool's result is. `views` is the other way to find
encodings: decode every long run of base64 (at four offsets) and hex and search again; it is
measured beside the way that was taken, in which encodings are forms in the one automaton.
`--check` exits 1 below 20 MB/s, at a disguise that is missed, or at a false positive.
"""

from __future__ import annotations

import argparse
import base64
import codecs
import json
import random
import re
import sys
from binascii import Error
from collections.abc import Callable, Iterable
from pathlib import Path
from time import process_time
from urllib.parse import quote

from proofrig.canaries.canary import Canary, mint, mint_fact
from proofrig.canaries.detect import Detector, Stream

ROOT = Path(__file__).parents[1]
SUFFIXES = {".md", ".py", ".txt", ".json", ".rst", ".html", ".yaml", ".js"}
GOAL = 20.0  # MB/s
ROUNDS = 3

Hide = Callable[[str, random.Random], str]
DISGUISES: dict[str, Hide] = {
    "verbatim": lambda t, r: t,
    "lower case": lambda t, r: t.lower(),
    "dashed": lambda t, r: "-".join(t[n : n + 4] for n in range(0, 20, 4)),
    "spelled out": lambda t, r: " ".join(t),
    "one a line, in JSON": lambda t, r: json.dumps("\n".join(t)),
    "zero width": lambda t, r: "\u200b".join(t),
    "zero width, in JSON": lambda t, r: json.dumps("\u200b".join(t)),
    "full width": lambda t, r: "".join(chr(ord(c) + 0xFEE0) for c in t),
    "base64": lambda t, r: base64.b64encode(r.randbytes(r.randrange(9)) + t.encode()).decode(),
    "base64url": lambda t, r: base64.urlsafe_b64encode(
        r.randbytes(r.randrange(9)) + t.encode()
    ).decode(),
    "hex": lambda t, r: t.encode().hex(),
    "URL %XX": lambda t, r: "".join(f"%{ord(c):02X}" for c in t),
    "URL, spelled out": lambda t, r: quote(" ".join(t)),
    "\\u escapes": lambda t, r: "".join(f"\\u{ord(c):04x}" for c in t),
    "HTML entities": lambda t, r: "".join(f"&#{ord(c)};" for c in t),
    "reversed": lambda t, r: t[::-1],
    "rot13": lambda t, r: codecs.encode(t, "rot13"),
    "first half": lambda t, r: t[:10],
    "middle 12": lambda t, r: t[4:16],
    "two pieces": lambda t, r: f"{t[:9]}\n...later...\n{t[9:]}",
    "a letter replaced": lambda t, r: (lambda n: f"{t[:n]}?{t[n + 1 :]}")(r.randrange(20)),
    "a letter left out": lambda t, r: (lambda n: t[:n] + t[n + 1 :])(r.randrange(20)),
    "neighbours swapped": lambda t, r: (lambda n: t[:n] + t[n + 1] + t[n] + t[n + 2 :])(
        r.randrange(19)
    ),
}
BY_DESIGN: dict[str, Hide] = {
    "5 characters (by design)": lambda t, r: t[:5],
    "digits as words (no)": lambda t, r: " ".join(
        {"0": "zero", "1": "one", "2": "two"}.get(c, c) for c in t
    ),
}


def texts_of(folders: Iterable[Path], most: int) -> list[bytes]:
    """Real texts, at most 300 kB of each file, spread over the folders."""
    found: list[bytes] = []
    for folder in folders:
        total = 0
        for path in sorted(folder.rglob("*")):
            if path.suffix in SUFFIXES and path.is_file() and total < most:
                found.append(path.read_bytes()[:300_000])
                total += len(found[-1])
    return found


def payloads_of(texts: list[bytes]) -> list[bytes]:
    """Requests to a model with a page of each text, as a prompt and as the result of a tool."""
    made = []
    for data in texts:
        page = data[:6000].decode("utf-8", "replace")
        result = json.dumps({"path": "notes", "content": page}, ensure_ascii=len(made) % 2 == 0)
        messages = [
            {"role": "user", "content": page[:2000]},
            {"role": "tool", "tool_call_id": "call_1", "content": result},
        ]
        made.append(json.dumps({"model": "m", "messages": messages}).encode())
    return made


def speed(texts: list[bytes], work: Callable[[bytes], object]) -> float:
    """MB/s of CPU time; the best of the rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = process_time()
        for text in texts:
            work(text)
        best = min(best, process_time() - begun)
    return sum(map(len, texts)) / 1e6 / best


LONG = re.compile(rb"[A-Za-z0-9+/_-]{14,}|(?:[0-9A-Fa-f]{2}[ :]?){10,}")


def views(detector: Detector, text: bytes) -> None:
    """The other way: decode what may be encoded, and search that as well."""
    decoded = []
    for run in LONG.findall(text):
        run = run.translate(bytes.maketrans(b"-_", b"+/"))
        for offset in range(4):
            part = run[offset:]
            try:
                decoded.append(base64.b64decode(part[: len(part) // 4 * 4]))
            except Error:
                continue
    detector.scan(text)
    detector.scan(b"\n".join(decoded))


def recall(tokens: list[Canary], detector: Detector, hide: Hide) -> float:
    rng = random.Random(5)
    found = 0
    for token in tokens:
        hits = detector.scan(f"The note says {hide(token.token, rng)} as of today, per the ledger.")
        found += token in {hit.canary for hit in hits}
    return found / len(tokens)


def split_recall(tokens: list[Canary], detector: Detector, size: int) -> float:
    found = 0
    for token in tokens:
        stream, text = Stream(detector), f"it is {token.token}, that is all"
        pieces = (text[n : n + size] for n in range(0, len(text), size))
        found += any(hit.canary == token for piece in pieces for hit in stream.feed(piece))
    return found / len(tokens)


def fact_recall(facts: list[Canary], detector: Detector) -> float:
    forms = ("{} owes {:,} euro", "{1:d}.00 for {0}", '{{"who": "{}", "amount": {}.0}}')
    tried = [(fact, form.format(fact.entity, fact.number)) for fact in facts for form in forms]
    return sum(fact in {h.canary for h in detector.scan(t)} for fact, t in tried) / len(tried)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--canaries", type=int, default=200)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    around = Path(json.__file__).parents[1]
    folders = args.folders or [ROOT / "docs", ROOT / "src", ROOT / "tests", around]
    tokens = [mint(1, f"t{n % 20}", f"n{n}") for n in range(args.canaries)]
    facts = [mint_fact(1, f"t{n % 20}", f"n{n}") for n in range(args.canaries // 4)]
    begun = process_time()
    detector = Detector([*tokens, *facts])
    built = process_time() - begun
    texts = texts_of(folders, args.megabytes * 1_000_000)
    payloads = payloads_of(texts)
    print(f"{len(tokens)} tokens, {len(facts)} facts; detector built in {built * 1e3:.0f} ms")
    print(f"{'':26}{'files':>8}{'MB':>8}{'MB/s':>8}{'x lower':>9}{'views':>8}{'hits':>6}")
    slowest, false = float("inf"), 0
    for name, kind in (("sources, docs, data", texts), ("payloads of model calls", payloads)):
        base, ours = speed(kind, bytes.lower), speed(kind, detector.scan)
        other = speed(kind, lambda text: views(detector, text))
        hits = sum(len(detector.scan(text)) for text in kind)
        slowest, false = min(slowest, ours), false + hits
        size = sum(map(len, kind)) / 1e6
        figures = f"{len(kind):8d}{size:8.1f}{ours:8.1f}{base / ours:9.0f}{other:8.1f}{hits:6d}"
        print(f"{name:26}{figures}")
    print(f"\n{'disguise':26}{'found':>8}")
    rows = {name: recall(tokens, detector, hide) for name, hide in DISGUISES.items()}
    rows |= {f"split every {n}": split_recall(tokens, detector, n) for n in (4, 7, 9)}
    rows["fact: name and number"] = fact_recall(facts, detector)
    for name, share in rows.items():
        print(f"{name:26}{share:8.1%}")
    for name, hide in BY_DESIGN.items():
        print(f"{name:26}{recall(tokens, detector, hide):8.1%}")
    good = slowest >= GOAL and not false and min(rows.values()) == 1
    return int(args.check and not good)


if __name__ == "__main__":
    sys.exit(main())
