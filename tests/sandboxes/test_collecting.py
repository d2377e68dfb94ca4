"""What comes home of a box, and what never does; `tests/properties` does it over random edits."""

from __future__ import annotations

import io
import os
import random
import socket
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from overlay_mounts import NEEDS_ROOT, NOBODY, in_child, layers, view
from proofrig.sandboxes.changes import scan
from proofrig.sandboxes.collecting import HEADERS, OPAQUE, bring_back, unpack

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason=NEEDS_ROOT)


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    (tmp_path / "upper").mkdir()
    return tmp_path / "upper"


@pytest.fixture
def world(tmp_path: Path) -> Path:
    (tmp_path / "world").mkdir()
    return tmp_path / "world"


def test_what_was_a_link_in_the_world_is_not_written_through(upper: Path, world: Path) -> None:
    outside = world.parent / "outside"
    outside.mkdir()
    (outside / "file").write_text("untouched")
    (world / "file").symlink_to(outside / "file")
    (world / "folder").symlink_to(outside)
    (upper / "folder").mkdir()
    for name in ("file", "folder/file", "folder/new"):
        (upper / name).write_text("theirs")
    assert bring_back(upper, world) == ""
    assert view(outside) == {"file": ("file", 0o644, b"untouched".hex())}
    assert not (world / "folder").is_symlink()
    assert (world / "folder/file").read_text() == "theirs"


def test_links_stay_links_and_are_never_followed(upper: Path, world: Path) -> None:
    for name, target in (("a", "/etc/shadow"), ("b", "../../.."), ("c", "nowhere")):
        (upper / name).symlink_to(target)
    assert bring_back(upper, world) == ""
    assert view(world) == view(upper)


def test_a_file_that_the_world_shares_with_another_is_replaced_not_written(
    upper: Path, world: Path
) -> None:
    template = world.parent / "template"
    template.write_text("before")
    os.link(template, world / "file")
    (upper / "file").write_text("after")
    os.link(upper / "file", upper / "twin")
    assert bring_back(upper, world) == ""
    assert template.read_text() == "before"
    assert (world / "file").read_text() == (world / "twin").read_text() == "after"
    assert (world / "file").stat().st_nlink == (world / "twin").stat().st_nlink == 1


def test_what_is_neither_file_nor_folder_nor_link_stays_behind(upper: Path, world: Path) -> None:
    (world / "pipe").write_text("was a file")
    os.mkfifo(upper / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(upper / "socket"))
        assert bring_back(upper, world) == ""
        assert {one.kind for one in scan(upper, world, "/w").entries} == {"special"}
    assert list(world.iterdir()) == []


@needs_root
def test_bits_that_give_rights_are_dropped_and_files_are_ours(upper: Path, world: Path) -> None:
    for name, mode in (("suid", 0o6755), ("sticky", 0o1777), ("plain", 0o640)):
        path = upper / name
        path.mkdir() if name == "sticky" else path.write_text(name)
        os.chown(path, NOBODY, NOBODY)
        path.chmod(mode)
    assert bring_back(upper, world) == ""
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in world.iterdir()}
    assert modes == {"suid": 0o755, "sticky": 0o777, "plain": 0o640}
    assert {path.stat().st_uid for path in world.iterdir()} == {0}


@needs_root
def test_without_root_folders_that_nobody_may_enter_come_home() -> None:
    def make(folder: Path) -> None:
        (folder / "old").chmod(0o700)
        (folder / "old/new").write_text("new")
        (folder / "old").chmod(0)

    with layers() as found:
        (found.lower / "old").mkdir()
        (found.lower / "old").chmod(0o500)
        found.edited(make, "nobody")
        assert in_child(lambda: bring_back(found.upper, found.lower), "nobody") == ""
        assert stat.S_IMODE((found.lower / "old").stat().st_mode) == 0
        assert (found.lower / "old/new").read_text() == "new"


@pytest.mark.parametrize(
    ("most", "said"),
    [({"most_bytes": 9}, "more than 9 bytes"), ({"most_files": 1}, "more than 1 files")],
)
def test_too_much_changes_nothing(
    upper: Path, world: Path, most: dict[str, int], said: str
) -> None:
    (world / "kept").write_text("kept")
    (upper / "kept").write_text("12345")
    (upper / "more").write_text("12345")
    error = bring_back(upper, world, **most)
    assert error == f"the world was not brought back: the trial left {said} in it"
    assert view(world) == {"kept": ("file", 0o644, b"kept".hex())}
    assert bring_back(upper, world, most_bytes=10, most_files=2) == ""


def test_holes_count_and_stay_holes(upper: Path, world: Path) -> None:
    with (upper / "sparse").open("wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
    assert "bytes" in bring_back(upper, world, most_bytes=1 << 20)
    assert bring_back(upper, world) == ""
    brought = (world / "sparse").stat()
    assert brought.st_size == (64 << 20) + 3
    assert brought.st_blocks * 512 < 1 << 20
    assert (world / "sparse").read_bytes()[-3:] == b"end"


def test_times_are_kept(upper: Path, world: Path) -> None:
    (upper / "old").touch()
    os.utime(upper / "old", ns=(5, 7_000_000_000))
    assert bring_back(upper, world) == ""
    assert (world / "old").stat().st_mtime_ns == 7_000_000_000


Add = tuple[tarfile.TarInfo, bytes]


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: object) -> Add:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode = kind, len(data), 0o644
    for field, value in fields.items():
        setattr(member, field, value)
    return member, data


def tar(*entries: Add) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w|", format=tarfile.PAX_FORMAT) as members:
        for member, data in entries:
            members.addfile(member, io.BytesIO(data))
    return io.BytesIO(made.getvalue())


def folder(name: str, **fields: object) -> Add:
    return entry(name, tarfile.DIRTYPE, mode=0o755, **fields)


def test_what_a_guest_sent_is_a_layer(upper: Path, world: Path) -> None:
    for name in ("gone", "renewed/before", "kept/file"):
        (world / name).parent.mkdir(exist_ok=True)
        (world / name).touch()
    sent = tar(
        folder("./"),
        entry("gone", tarfile.CHRTYPE, devmajor=0, devminor=0),
        folder("renewed", pax_headers={OPAQUE: "y"}),
        entry("renewed/after", data=b"after"),
        folder("kept"),
        entry("kept/link", tarfile.SYMTYPE, linkname="/etc/passwd"),
        entry("device", tarfile.CHRTYPE, devmajor=1, devminor=3),
        entry("top", data=b"top", mode=0o600),
    )
    assert unpack(sent, upper) == ""
    told = [(one.change, one.kind, one.path) for one in scan(upper, world, "/w").entries]
    assert told == [
        ("added", "special", "/w/device"),
        ("deleted", "file", "/w/gone"),
        ("added", "link", "/w/kept/link"),
        ("added", "file", "/w/renewed/after"),
        ("deleted", "file", "/w/renewed/before"),
        ("added", "file", "/w/top"),
    ]
    assert bring_back(upper, world) == ""
    assert set(view(world)) == {"kept", "kept/file", "kept/link", "renewed", "renewed/after", "top"}


def cut(sent: io.BytesIO) -> io.BytesIO:
    return io.BytesIO(sent.getvalue()[:700])


OUTSIDE = Path("/tmp/proofrig-from-a-guest")  # where a guest must not get to write
BAD: dict[str, tuple[Callable[[], io.BytesIO], str]] = {
    "absolute": (lambda: tar(entry(str(OUTSIDE))), "leaves its folder"),
    "above": (lambda: tar(entry("../x")), "leaves its folder"),
    "above in between": (lambda: tar(folder("a"), entry("a/../../x")), "leaves its folder"),
    "through a link": (
        lambda: tar(entry("l", tarfile.SYMTYPE, linkname="/tmp"), entry(f"l/{OUTSIDE.name}")),
        "without its folder",
    ),
    "without its folder": (lambda: tar(entry("a/x")), "without its folder"),
    "twice": (lambda: tar(entry("a"), entry("a")), "File exists"),
    "over a link": (
        lambda: tar(entry("l", tarfile.SYMTYPE, linkname=str(OUTSIDE)), entry("l")),
        "File exists",
    ),
    "hard link": (lambda: tar(entry("a", tarfile.LNKTYPE, linkname="/etc/passwd")), "of type"),
    "much": (lambda: tar(entry("a", data=bytes(2000))), "more than 1,000 bytes"),
    "many": (lambda: tar(*(entry(str(n)) for n in range(11))), "more than 10 files"),
    "long header": (
        lambda: tar(entry("a", pax_headers={"comment": "x" * (HEADERS + 1)})),
        "headers without an end",
    ),
    "cut off": (lambda: cut(tar(entry("a", data=bytes(600)))), "unexpected end"),
    "cut off behind an entry": (lambda: io.BytesIO(tar(entry("a")).getvalue()[:512]), "cut off"),
    "nothing": (io.BytesIO, "cannot be read"),
    "noise": (lambda: io.BytesIO(random.Random(1).randbytes(4096)), "no tar"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_a_guest_may_not_send_is_refused(upper: Path, name: str) -> None:
    sent, said = BAD[name]
    error = unpack(sent(), upper, most_bytes=1000, most_files=10)
    assert error.startswith("what the guest changed ")
    assert said in error
    assert not (OUTSIDE.exists() or (upper.parent / "x").exists())
