"""The variables by which clients find the egress gateway, and trust it.

Rules:
1. Clients read one case or the other, so both are set. `ALL_PROXY` would also catch what is no
   HTTP; it is taken out.
2. What points at certificates is set only where something is intercepted: each client library has a
   variable of its own, and `SSL_CERT_DIR` would be looked at instead.
3. `NO_PROXY` is not this file's business: the rig's own port must stand in it.
"""

from __future__ import annotations

from proofrig.agents.environment import SHARED_KEY

_PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_NO_PROXY = ("ALL_PROXY", "all_proxy")
_TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


def proxy_environment(port: int, token: str, bundle: str = "") -> dict[str, str | None]:
    """What to set, or, where the value is None, to take out. port: the gateway's on 127.0.0.1.
    token: the trial's; "" for a host that many trials share. bundle: the file of certificates, ""
    where nothing is intercepted."""
    url = f"http://{token or SHARED_KEY}:x@127.0.0.1:{port}"
    found: dict[str, str | None] = dict.fromkeys(_PROXY, url)
    found.update(dict.fromkeys(_NO_PROXY))
    if bundle:
        found.update(dict.fromkeys(_TRUST, bundle))
        found["SSL_CERT_DIR"] = None
    return found
