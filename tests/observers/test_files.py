"""What Python code does to shared files, as it stands on the history. Real programs, real files."""

from __future__ import annotations

import ast
import sqlite3
import sys
from pathlib import Path

import pytest

from proofrig.observers import _file, _standing, files
from proofrig.observers.recorder import fingerprint
from watched_program import Program, pythons

LONG = "[" + ", ".join(str(n) for n in range(5000)) + "]"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


WRITES = {
    "text": ("with open('shared/a', 'w') as f: f.write('é1')", [("file.write", "a", "é1", "ok")]),
    "binary": ("with open('shared/a', 'wb') as f: f.write(b'1')", [("file.write", "a", "1", "ok")]),
    "unbuffered": (
        "with open('shared/a', 'wb', 0) as f: f.write(b'1'); f.write(b'2')",
        [("file.write", "a", "12", "ok")],
    ),
    "not utf-8": (
        "with open('shared/a', 'wb') as f: f.write(bytes([255]))",
        [("file.write", "a", fingerprint(b"\xff"), "ok")],
    ),
    "flushed in between": (
        "f = open('shared/a', 'w'); f.write('1'); f.flush(); f.write('2'); f.close()",
        [("file.write", "a", "12", "ok")],
    ),
    "long, in many pieces": (
        "import json\nwith open('shared/a', 'w') as f: json.dump(list(range(5000)), f)",
        [("file.write", "a", fingerprint(LONG), "ok")],
    ),
    "pathlib": (
        "import pathlib; pathlib.Path('shared/deep').mkdir();"
        "pathlib.Path('shared/deep/a.txt').write_text('1')",
        [("file.write", "deep/a.txt", "1", "ok")],
    ),
    "append": (
        "with open('shared/a', 'a') as f: f.write('one\\n'); f.flush(); f.write('two\\n')",
        [("file.append", "a", "one\n", "ok"), ("file.append", "a", "two\n", "ok")],
    ),
    "read, change, write": (
        "open('shared/a', 'w').close()\n"
        "with open('shared/a', 'r+') as f: f.read(); f.write('12345')\n"
        "with open('shared/a', 'r+') as f:\n"
        "    f.read(); f.seek(0); f.write('678'); f.truncate()",
        [
            ("file.write", "a", "", "unknown"),
            ("file.read", "a", "", "ok"),
            ("file.write", "a", "12345", "ok"),
            ("file.read", "a", "12345", "ok"),
            ("file.write", "a", "678", "ok"),
        ],
    ),
    "in the middle": (
        "with open('shared/a', 'wb') as f: f.write(b'12345')\n"
        "with open('shared/a', 'rb+') as f: f.seek(2); f.write(b'x'); f.seek(6); f.write(b'y')",
        [("file.write", "a", "12345", "ok"), ("file.write", "a", "12x45\0y", "ok")],
    ),
    "temporary file, renamed": (
        "import os, tempfile\n"
        "with tempfile.NamedTemporaryFile('w', dir='shared', prefix='t', delete=False) as f:\n"
        "    f.write('1')\n"
        "os.rename(f.name, 'shared/tmp')\n"
        "os.replace('shared/tmp', 'shared/a')",
        [
            ("file.write", "t*", "1", "ok"),
            ("file.write", "tmp", "1", "ok"),
            ("file.write", "t*", None, "ok"),
            ("file.write", "a", "1", "ok"),
            ("file.write", "tmp", None, "ok"),
        ],
    ),
    "renamed into it": (
        "import pathlib; pathlib.Path('aside').write_text('1');"
        "pathlib.Path('aside').replace('shared/a')",
        [("file.write", "a", "1", "ok")],
    ),
    "renamed in vain": (
        "import os\ntry: os.replace('shared/no', 'shared/a')\nexcept FileNotFoundError: pass\n"
        "open('b', 'w').close(); os.mkdir('shared/a')\n"
        "try: os.replace('b', 'shared/a')\nexcept IsADirectoryError: pass",
        [("file.write", "a", "", "fail")],
    ),
    "removed": (
        "import os, pathlib\nopen('shared/a', 'x').close(); pathlib.Path('shared/a').unlink()\n"
        "try: os.remove('shared/a')\nexcept FileNotFoundError: pass",
        [
            ("file.write", "a", "", "unknown"),
            ("file.write", "a", None, "ok"),
            ("file.write", "a", None, "fail"),
        ],
    ),
    "descriptors": (
        "import os; fd = os.open('shared/a', os.O_CREAT | os.O_WRONLY | os.O_TRUNC)\n"
        "os.write(fd, b'1'); os.write(fd, b'2'); os.close(fd)\n"
        "fd = os.open('shared/b', os.O_CREAT | os.O_WRONLY | os.O_APPEND)\n"
        "with os.fdopen(fd, 'w') as f: f.write('3')",
        [("file.write", "a", "12", "ok"), ("file.append", "b", "3", "ok")],
    ),
    "past Python": (
        "import shutil; open('b', 'w').write('1'); shutil.copyfile('b', 'shared/a')",
        [("file.write", "a", "1", "unknown")],
    ),
    "an exception": (
        "try:\n    with open('shared/a', 'w') as f:\n        f.write('1'); raise ValueError\n"
        "except ValueError: pass",
        [("file.write", "a", "1", "ok")],
    ),
    "left open": (
        "f = open('shared/a', 'w'); f.write('1'); f.flush()",
        [("file.write", "a", "1", "ok")],
    ),
    "no room": (
        "import resource, signal\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))\n"
        "f = open('shared/a', 'wb', 0)\nf.seek(1 << 16)\n"
        "try: f.write(b'1')\nexcept OSError: pass\nf.close()",
        [("file.write", "a", fingerprint("\0" * (1 << 16) + "1"), "fail")],
    ),
    "elsewhere": ("open('a', 'w').close(); open('shared-not', 'w').close()", []),
}


@pytest.mark.parametrize("case", WRITES)
def test_writes(program: Program, case: str) -> None:
    code, expected = WRITES[case]
    if case in ("past Python", "left open"):
        code = "import warnings; warnings.simplefilter('ignore')\n" + code
    program.run(code)
    told = [
        (name, "t*" if key.startswith("t") and key != "tmp" else key, value, outcome)
        for name, key, value, outcome in program.told()
    ]
    assert told == expected


READS = {
    "whole": ("print(open('shared/a').read())", "abc\ndef", "abc\ndef"),
    "by line": ("print(*[l.strip() for l in open('shared/a')])", "abc def", "abc\ndef"),
    "binary": ("print(open('shared/a', 'rb').read(100))", "b'abc\\ndef'", "abc\ndef"),
    "unbuffered": ("print(open('shared/a', 'rb', 0).read())", "b'abc\\ndef'", "abc\ndef"),
    "in part": ("print(open('shared/a', 'rb', 0).read(3))", "b'abc'", "-"),
    "json": (
        "import json, pathlib; pathlib.Path('shared/a').write_text('[1]');"
        "print(json.load(open('shared/a')))",
        "[1]",
        "[1]",
    ),
    "to and fro": (
        "f = open('shared/a'); f.readline(); f.seek(0); print(f.read())",
        "abc\ndef",
        "abc\ndef",
    ),
    "long": (
        f"open('shared/a', 'w').write({LONG!r}); print(len(open('shared/a').read()))",
        str(len(LONG)),
        fingerprint(LONG),
    ),
}


@pytest.mark.parametrize("case", READS)
def test_reads(program: Program, case: str) -> None:
    code, printed, value = READS[case]
    (program.shared / "a").write_text("abc\ndef")
    assert program.run(f"import warnings; warnings.simplefilter('ignore')\n{code}") == printed
    assert program.told()[-1] == ("file.read", "a", value, "ok")


def test_a_read_is_told_with_its_text(program: Program) -> None:
    (program.shared / "a").write_text(LONG)
    (program.shared / "b").write_bytes(b"\xff")
    program.run(
        "open('shared/a').close()\nfor n in 'ab':\n  with open('shared/'+n,'rb') as f:f.read()"
    )
    whole, binary = program.actions()
    assert whole.attr("text") == LONG[: 16 << 10]
    assert (binary.attr("value"), binary.attr("text")) == (fingerprint(b"\xff"), None)


def test_what_was_replaced_after_it_was_opened_is_no_read_of_now(program: Program) -> None:
    (program.shared / "a").write_text("old")
    code = (
        "open('b', 'w').close()\nwith open('shared/a') as f:\n"
        "    os.replace('b', 'shared/a'); print(f.read())\nwith open('shared/a') as f: f.read()"
    )
    assert program.run(code) == "old"
    assert program.told() == [
        ("file.write", "a", "", "ok"),
        ("file.read", "a", "-", "ok"),
        ("file.read", "a", "", "ok"),
    ]


def test_a_file_that_is_not_there_was_read_as_absent(program: Program) -> None:
    code = "try: open('shared/a')\nexcept FileNotFoundError as e: print(e)"
    assert program.run(code) == "[Errno 2] No such file or directory: 'shared/a'"
    assert program.told() == [("file.read", "a", None, "ok")]


def test_a_write_begins_before_it_can_be_seen_and_ends_after(program: Program) -> None:
    """A program that looks for itself whether the history was first."""
    program.run(
        "import io\ndef history():\n"
        "    folder = os.environ['PROOFRIG_HISTORY']\n"
        "    return ''.join(io.FileIO(os.path.join(folder, n)).readall().decode()\n"
        "                   for n in os.listdir(folder))\n"
        "import warnings; warnings.simplefilter('ignore')\n"
        "f = open('shared/a', 'w'); f.write('1')\n"
        "assert 'file.write' not in history() and not os.path.getsize('shared/a')\n"
        "f.flush(); assert history().count('file.write') == 1\n"
        "f.close(); assert history().count('file.write') == 2\n"
    )
    (action,) = program.actions()
    assert action.start is not None and action.end is not None
    assert action.start.attrs["value"] == "1" and action.start.t < action.end.t


def test_a_rename_says_what_was_renamed(program: Program) -> None:
    program.run("open('b', 'w').close(); os.replace('b', 'shared/a')")
    program.run("os.replace('shared/a', 'shared/c')")
    told = [(a.attr("key"), a.attr("from")) for a in program.actions()]
    assert told == [("a", str(program.work / "b")), ("c", "a"), ("a", None)]


@pytest.mark.parametrize("before", ["", "import pathlib, tempfile, shutil"])
@pytest.mark.parametrize("python", pythons())
def test_every_python_sees_the_same(tmp_path: Path, python: str, before: str) -> None:
    code = (
        "import pathlib\np = pathlib.Path('shared')\n"
        "(p / 't').write_text('1'); (p / 't').replace(p / 'a'); print((p / 'a').read_text())\n"
        "(p / 'a').rename(p / 'b'); (p / 'b').unlink()\n"
    )
    expected = [
        ("file.write", "t", "1", "ok"),
        ("file.write", "a", "1", "ok"),
        ("file.write", "t", None, "ok"),
        ("file.read", "a", "1", "ok"),
        ("file.write", "b", "1", "ok"),
        ("file.write", "a", None, "ok"),
        ("file.write", "b", None, "ok"),
    ]
    program = Program(tmp_path, python=python)
    assert program.run(code, before=before) == "1"
    assert program.told() == expected


SAME = """
import io, os, pickle, shutil, tempfile, copy, inspect
def kinds(path):
    made = []
    for mode in ("w", "wb", "r", "rb", "r+", "rb+", "a", "w+b", "a+"):
        for buffering in (-1, 0, 1, 77):
            try:
                with open(path, mode, buffering, *(["latin-1"] if "b" not in mode else [])) as f:
                    raw = f if buffering == 0 else f.buffer.raw if "b" not in mode else f.raw
                    made.append((type(f).__name__ if buffering else "raw", f.mode, f.name, raw.mode,
                        f.readable(), f.writable(), getattr(f, "line_buffering", None),
                        getattr(f, "encoding", None), isinstance(raw, io.FileIO)))
            except (ValueError, RuntimeWarning) as error:
                made.append(repr(error))
    for wrong in (("", ), ("rw",), ("q",), ("rb", -1, "utf-8"), ("r", "x"), (3,), ("rbt",)):
        try:
            open(path, *wrong)
        except (ValueError, TypeError) as error:
            made.append(repr(error))
    try:
        open(path, nonsense=1)
    except TypeError as error:
        made.append("TypeError")
    return made
open("plain", "w").close()
there, here = kinds("shared/f"), kinds("plain")
assert [str(k).replace("shared/f", "plain") for k in there] == [str(k) for k in here]
assert open is io.open and open.__name__ == "open" and repr(open) == "<built-in function open>"
assert pickle.loads(pickle.dumps(os.replace))("plain", "plain2") is None
assert {os.open, os.unlink, os.rename} <= os.supports_dir_fd
assert shutil.rmtree.avoids_symlink_attacks
class Holder:
    open, move = open, os.rename
with Holder().open("plain2") as f: assert f.read() == ""
Holder().move("plain2", "plain3")
with open("shared/g", "w") as f:
    try: f.buffer.raw.write("text")
    except TypeError: pass
    f.write("x"); f.flush(); assert f.buffer.raw.tell() == 1
with tempfile.TemporaryDirectory(dir="shared") as d, tempfile.TemporaryFile(dir="shared") as f:
    f.write(b"1")
print("same")
"""


@pytest.mark.parametrize("python", pythons())
def test_files_are_like_any_others(tmp_path: Path, python: str) -> None:
    assert Program(tmp_path, python=python).run(SAME) == "same"


def test_sqlite_works_and_is_not_seen(program: Program) -> None:
    program.run(
        "import sqlite3; c = sqlite3.connect('shared/d.db')\n"
        "c.execute('create table t (a)'); c.execute('insert into t values (1)')\n"
        "c.commit(); c.close()"
    )
    connection = sqlite3.connect(program.shared / "d.db")
    assert connection.execute("select a from t").fetchall() == [(1,)]
    connection.close()
    assert program.told() == []


def test_a_child_does_not_end_what_its_parent_began(program: Program) -> None:
    program.run(
        "import warnings; warnings.simplefilter('ignore')\n"
        "f = open('shared/a', 'w'); f.write('1'); f.flush()\n"
        "if os.fork() == 0:\n    f.close(); observing.close(); os._exit(0)\n"
        "os.wait(); f.write('2'); f.close()"
    )
    assert program.told() == [("file.write", "a", "12", "ok")]


@pytest.mark.parametrize("missing", ["history", "files"])
def test_nothing_is_patched_when_nobody_asks(tmp_path: Path, missing: str) -> None:
    globs = {} if missing == "files" else {"notes": "shared/**"}
    program = Program(tmp_path, globs, observed=missing != "history")
    code = (
        "import builtins, io, _io, posix\n"
        "print(builtins.open is io.open is _io.open, os.open is posix.open,\n"
        "      os.replace is posix.replace, os.write is posix.write)"
    )
    assert program.run(code) == "True True True True"


@pytest.mark.parametrize(
    ("glob", "path", "fits"),
    [
        ("/w/shared/**", "/w/shared/a/b", "a/b"),
        ("/w/shared/**/*.json", "/w/shared/a.json", "a.json"),
        ("/w/shared/**/*.json", "/w/shared/x/y/a.json", "x/y/a.json"),
        ("/w/shared/*.json", "/w/shared/x/a.json", None),
        ("/w/s?/[!a-c]", "/w/s1/d", "s1/d"),
        ("/w/s?/[!a-c]", "/w/s1/a", None),
        ("/w/notes.md", "/w/notes.md", "notes.md"),
        ("/w/notes.md", "/w/notesXmd", None),
        ("/w/./x/../notes/*", "/w/notes/a", "a"),
    ],
)
def test_globs(glob: str, path: str, fits: str | None) -> None:
    assert files.Folder("s", glob).key(path) == fits


@pytest.mark.parametrize("module", [files, _file, _standing])
def test_is_old_enough(module: object) -> None:
    source = Path(sys.modules[module.__name__].__file__ or "")  # type: ignore[attr-defined]
    ast.parse(source.read_text(), feature_version=(3, 9))
