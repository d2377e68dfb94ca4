"""The variables that agents get."""

from __future__ import annotations

from proofrig.gateways.egress.environment import proxy_environment


def test_a_trial_gets_its_proxy() -> None:
    url = "http://tok:x@127.0.0.1:7000"
    assert proxy_environment(7000, "tok") == {
        "HTTP_PROXY": url,
        "HTTPS_PROXY": url,
        "http_proxy": url,
        "https_proxy": url,
        "ALL_PROXY": None,
        "all_proxy": None,
    }


def test_a_host_of_many_trials_gets_one_that_names_none() -> None:
    assert proxy_environment(7000, "")["HTTP_PROXY"] == "http://proofrig-shared:x@127.0.0.1:7000"


def test_where_something_is_intercepted_every_client_is_told_whom_to_trust() -> None:
    found = proxy_environment(7000, "tok", "/run/ca.pem")
    trusting = [name for name, value in found.items() if value == "/run/ca.pem"]
    assert trusting == [
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
    ]
    assert found["SSL_CERT_DIR"] is None
