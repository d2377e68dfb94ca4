"""Payloads are kept once, found by digest, capped and redactable."""

from __future__ import annotations

from pathlib import Path

from proofrig.history.archive import archive
from proofrig.history.format import folder_of
from proofrig.history.journal import Journal
from proofrig.history.payloads import PayloadReader, digest_of, records_of, redact


def journal(run_dir: Path, cap: int = 1 << 18) -> Journal:
    return Journal(run_dir, "rig", lambda: 0, payload_cap=cap)


def test_equal_bytes_are_stored_once(tmp_path: Path) -> None:
    writer = journal(tmp_path)
    first, again, other = (writer.payload(data) for data in (b"a\nb", b"a\nb", b"c"))
    writer.flush()
    assert first == again == digest_of(b"a\nb") != other
    assert len(records_of(writer.payloads.path)) == 2
    assert PayloadReader(tmp_path).get(first) == b"a\nb"


def test_a_live_reader_sees_what_was_flushed_later(tmp_path: Path) -> None:
    writer, reader = journal(tmp_path), PayloadReader(tmp_path)
    digest = writer.payload(b"x")
    assert reader.get(digest) is None
    writer.flush()
    assert reader.get(digest) == b"x"


def test_above_the_cap_the_head_is_kept_and_the_size_is_told(tmp_path: Path) -> None:
    writer = journal(tmp_path, cap=4)
    digest = writer.payload(b"123456789")
    writer.flush()
    assert PayloadReader(tmp_path).get(digest) == b"1234"
    [(header, _, _)] = records_of(writer.payloads.path)
    assert (header.size, header.kept) == (9, 4)


def test_compressed_payloads_are_found_across_frames(tmp_path: Path) -> None:
    writer = journal(tmp_path)
    blobs = [bytes([n]) * 300_000 for n in range(10)] + [b""]
    digests = [writer.payload(blob) for blob in blobs]
    writer.close()
    archive(tmp_path)
    reader = PayloadReader(tmp_path)
    assert [reader.get(digest) for digest in digests] == [blob[: 1 << 18] for blob in blobs]
    assert sorted(path.suffix for path in folder_of(tmp_path).iterdir()) == [".idx", ".zst", ".zst"]


def test_redacting_drops_the_bytes_and_nothing_else(tmp_path: Path) -> None:
    writer = journal(tmp_path)
    secret, plain = writer.payload(b"secret"), writer.payload(b"plain")
    writer.close()
    assert redact(tmp_path, {secret}) == 1
    assert redact(tmp_path, {secret}) == 0
    assert PayloadReader(tmp_path).get(secret) is None
    assert PayloadReader(tmp_path).get(plain) == b"plain"
    archive(tmp_path)
    assert PayloadReader(tmp_path).get(secret) is None
    assert PayloadReader(tmp_path).get(plain) == b"plain"


def test_a_torn_last_payload_is_left_out(tmp_path: Path) -> None:
    writer = journal(tmp_path)
    kept, torn = writer.payload(b"kept"), writer.payload(b"torn payload")
    writer.close()
    data = writer.payloads.path.read_bytes()
    writer.payloads.path.write_bytes(data[:-5])
    assert PayloadReader(tmp_path).get(kept) == b"kept"
    assert PayloadReader(tmp_path).get(torn) is None
