"""The authority of a run, its certificates and its bundle."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from proofrig.gateways.egress.certificates import Certificates, write_bundle


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """TLS between the two, in memory. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(4):
        for one in (ours, theirs):
            try:
                one.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ours


def trusting(pem: bytes) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # as newer Pythons do by themselves
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.mark.parametrize(
    "host", ["api.openai.com", "127.0.0.1", "::1", f"{'a' * 60}.{'b' * 60}.example.com"]
)
def test_a_client_that_trusts_the_authority_trusts_its_certificates(host: str) -> None:
    made = Certificates()
    inside = handshake(made.context_for(host), trusting(made.pem), host)
    assert inside.version() == "TLSv1.3"
    assert inside.selected_alpn_protocol() == "http/1.1"


def test_nobody_else_trusts_them() -> None:
    made, other = Certificates(), Certificates()
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        handshake(made.context_for("a.com"), trusting(other.pem), "a.com")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(made.context_for("a.com"), trusting(made.pem), "b.com")


def test_a_certificate_is_made_once() -> None:
    made = Certificates()
    assert made.context_for("a.com") is made.context_for("a.com")


def test_the_bundle_holds_the_systems_and_ours_and_no_key(tmp_path: Path) -> None:
    made, users = Certificates(), Certificates()
    own = tmp_path / "own.pem"
    own.write_bytes(users.pem)
    environ = {"REQUESTS_CA_BUNDLE": str(own), "CURL_CA_BUNDLE": str(tmp_path / "absent.pem")}
    bundle = write_bundle(tmp_path, made.pem, environ)
    text = bundle.read_text()
    assert "PRIVATE KEY" not in text
    context = ssl.create_default_context(cafile=str(bundle))
    for one in (made, users):
        assert handshake(one.context_for("a.com"), context, "a.com").version()
    system = len(ssl.create_default_context().get_ca_certs())
    assert len(context.get_ca_certs()) >= system + 2


def test_no_key_lies_in_the_runs_directory(tmp_path: Path) -> None:
    made = Certificates()
    made.context_for("a.com")
    write_bundle(tmp_path, made.pem, {})
    assert [path.name for path in tmp_path.iterdir()] == ["ca-bundle.pem"]
