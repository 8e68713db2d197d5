"""What `run` is given, as settings; that they reach the server is held by test_driver."""

from __future__ import annotations

import logging
import ssl

import pytest

from nbdriver.keywords import understand


def test_uvicorns_keywords_for_tls_are_ours_under_other_names() -> None:
    names = ["ssl_certfile", "ssl_keyfile", "ssl_keyfile_password", "ssl_ca_certs"]
    assert understand({**dict.fromkeys(names, "a"), "ssl_cert_reqs": ssl.CERT_REQUIRED}) == {
        "tls_certificate": "a",
        "tls_key": "a",
        "tls_key_password": "a",
        "tls_client_ca": "a",
        "tls_client_certificates": "required",
    }
    assert understand({"ssl_cert_reqs": 1}) == {"tls_client_certificates": "optional"}
    # What is none of these numbers is refused as a setting.
    assert understand({"ssl_cert_reqs": 3}) == {"tls_client_certificates": 3}


def test_what_no_table_knows_is_a_setting_as_it_stands() -> None:
    assert understand({"max_body": "1KiB", "nonsense": 1}) == {"max_body": "1KiB", "nonsense": 1}


def test_what_has_no_meaning_here_is_left_out_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert understand({"workers": 4, "app": "bot:app", "port": 1}) == {"port": 1}
    assert caplog.messages == ["Settings of uvicorn that have no meaning here: app, workers"]
