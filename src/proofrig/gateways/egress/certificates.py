"""A certificate authority of one run, and the certificates with which TLS ends at the rig.

Rules:
1. Keys live in memory alone: what the TLS library reads of them goes through an anonymous file that
   has no name on any disk.
2. The bundle in the run's directory holds certificates only: the system's, and this run's.
3. Inside, HTTP/1.1 is spoken: nothing else is offered.
"""

from __future__ import annotations

import datetime
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from proofrig.gateways.egress.hosts import address_of

if TYPE_CHECKING:
    from cryptography import x509

DAYS = 30
CACHED = 1_000
BUNDLE = "ca-bundle.pem"

_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",
)
_ENVIRON = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


class Certificates:
    """Makes and keeps a certificate for each host. pem: the authority's own, without its key."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding

        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._authority = self._signed("proofrig, for one run", "")
        self.pem: bytes = self._authority.public_bytes(Encoding.PEM)
        self._contexts: dict[str, ssl.SSLContext] = {}

    def context_for(self, host: str) -> ssl.SSLContext:
        """What TLS with an agent that believes to talk to `host` is served with."""
        context = self._contexts.pop(host, None) or self._context(host)
        self._contexts[host] = context  # the latest last
        if len(self._contexts) > CACHED:
            del self._contexts[next(iter(self._contexts))]
        return context

    def _context(self, host: str) -> ssl.SSLContext:
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        leaf = self._signed(host if len(host) <= 64 else "", host)
        key = self._leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        file = os.memfd_create("proofrig")
        try:
            os.write(file, leaf.public_bytes(Encoding.PEM) + key)
            context.load_cert_chain(f"/proc/self/fd/{file}")
        finally:
            os.close(file)
        return context

    def _signed(self, name: str, host: str) -> x509.Certificate:
        """The certificate of a host; of the authority itself where `host` is empty."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        ours, key = not host, self._leaf_key if host else self._key
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
        now = datetime.datetime.now(datetime.UTC)
        public, issuer = key.public_key(), self._key.public_key()
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if ours else self._authority.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=DAYS))
            .add_extension(x509.BasicConstraints(ours, 0 if ours else None), critical=True)
            .add_extension(_usage(authority=ours), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False
            )
        )
        if host:
            names = x509.SubjectAlternativeName([_name(host)])
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
            made = made.add_extension(names, critical=not name)
            made = made.add_extension(purpose, critical=False)
        return made.sign(self._key, hashes.SHA256())


def _usage(*, authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(address_of(host))
    except ValueError:
        return x509.DNSName(host)


def write_bundle(folder: Path, pem: bytes, environ: Mapping[str, str]) -> Path:
    """Write the system's certificates, those that `environ` names, and `pem` as one file; where it
    is."""
    default = ssl.get_default_verify_paths()
    named = [environ.get(name, "") for name in _ENVIRON]
    system = [file for file in (default.cafile, *_SYSTEM) if file and Path(file).is_file()][:1]
    parts = [pem.rstrip()]
    for file in dict.fromkeys((*system, *named)):
        if file and Path(file).is_file():
            parts.append(Path(file).read_bytes().rstrip())
    path = folder / BUNDLE
    path.write_bytes(b"\n".join(parts) + b"\n")
    return path
