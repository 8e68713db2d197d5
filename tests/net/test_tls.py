"""Certificates: what is read, and how each mistake is told."""

from __future__ import annotations

import logging
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from support.certificates import (
    client_context,
    stranger,
    write_apart,
    write_authority,
    write_certificate,
)
from support.program import clean_environment

from nbdriver.config import ServerConfig
from nbdriver.errors import StartupError
from nbdriver.net.tls import TLS


def tls(**settings: Any) -> TLS:
    made = TLS.of(ServerConfig(**settings))
    assert made is not None
    return made


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after the handshake, in memory; raises what either says against it."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        server.wrap_bio(up, down, server_side=True),
        client.wrap_bio(down, up, server_hostname="localhost"),
    )
    # Each takes a few turns; the last is a byte, which a TLS 1.3 client sends unasked.
    for _ in range(4):
        for end in reversed(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    ends[1].write(b"x")
    assert ends[0].read(1) == b"x"
    return ends


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path / "server.pem")


# What is offered.


def test_without_a_certificate_there_is_no_tls() -> None:
    assert TLS.of(ServerConfig()) is None


def test_a_certificate_with_its_key_in_one_file_is_enough(certificate: Path) -> None:
    shake_hands(tls(tls_certificate=certificate).context, client_context())


def test_a_key_may_have_a_file_and_a_password_of_its_own(tmp_path: Path) -> None:
    chain, key = write_apart(tmp_path)
    shake_hands(tls(tls_certificate=chain, tls_key=key).context, client_context())
    chain, key = write_apart(tmp_path, b"open sesame")
    settings = {"tls_certificate": chain, "tls_key": key, "tls_key_password": "open sesame"}
    shake_hands(tls(**settings).context, client_context())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(certificate: Path, version: ssl.TLSVersion) -> None:
    client = client_context()
    client.minimum_version = client.maximum_version = version
    server, _ = shake_hands(tls(tls_certificate=certificate).context, client)
    assert server.version() == f"TLSv1.{3 if version is ssl.TLSVersion.TLSv1_3 else 2}"
    assert server.compression() is None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_what_is_older_than_tls_1_2_is_not_spoken(certificate: Path) -> None:
    client = client_context()
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"UNSUPPORTED_PROTOCOL|NO_PROTOCOLS_AVAILABLE"):
        shake_hands(tls(tls_certificate=certificate).context, client)


def test_http_1_1_is_what_is_agreed_on_rfc_7301(certificate: Path) -> None:
    client = client_context()
    client.set_alpn_protocols(["h2", "http/1.1"])
    server, _ = shake_hands(tls(tls_certificate=certificate).context, client)
    assert server.selected_alpn_protocol() == "http/1.1"


def test_nothing_is_renegotiated_rfc_9325_3_5(certificate: Path) -> None:
    assert tls(tls_certificate=certificate).context.options & ssl.OP_NO_RENEGOTIATION


# Certificates of clients.


@pytest.mark.parametrize("wanted", ["optional", "required"])
def test_a_clients_certificate_is_taken_from_whom_the_authority_knows(
    certificate: Path, tmp_path: Path, wanted: str
) -> None:
    ca = write_authority(tmp_path / "ca.pem")
    server = tls(tls_certificate=certificate, tls_client_ca=ca, tls_client_certificates=wanted)
    ours, _ = shake_hands(server.context, client_context(certificate))
    assert ours.getpeercert()
    strange = write_certificate(tmp_path / "strange.pem", stranger())
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake_hands(server.context, client_context(strange))


def test_a_client_without_a_certificate_is_taken_where_that_is_optional(
    certificate: Path, tmp_path: Path
) -> None:
    settings = {"tls_certificate": certificate, "tls_client_ca": write_authority(tmp_path / "ca")}
    optional = tls(**settings, tls_client_certificates="optional")
    ours, _ = shake_hands(optional.context, client_context())
    assert not ours.getpeercert()
    required = tls(**settings, tls_client_certificates="required")
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake_hands(required.context, client_context())


# Mistakes: one line, which names the setting.


def mistake(**settings: Any) -> str:
    with pytest.raises(StartupError) as caught:
        TLS.of(ServerConfig(**settings))
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "settings",
    [
        {"tls_key": "key.pem"},
        {"tls_key_password": "open sesame"},
        {"tls_client_ca": "ca.pem"},
        {"tls_client_certificates": "required"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_is_of_no_use_without_a_certificate_is_told(settings: dict[str, str]) -> None:
    (name,) = settings
    told = mistake(**settings)
    assert told == (f"the setting {name} is of no use without tls_certificate, which is not set")


@pytest.mark.parametrize("name", ["tls_certificate", "tls_key", "tls_client_ca"])
@pytest.mark.parametrize(
    ("path", "reason"),
    [("none.pem", "No such file or directory"), (".", "Is a directory"), ("\0", "null byte")],
)
def test_a_file_that_cannot_be_read_is_named(
    certificate: Path, name: str, path: str, reason: str
) -> None:
    settings = {"tls_certificate": certificate, "tls_client_certificates": "optional"}
    told = mistake(**{**settings, "tls_client_ca": certificate, name: path})
    assert told.startswith(f"the setting {name} names a file that cannot be read: {path}: ")
    assert reason in told


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN X509 CRL-----\n"])
@pytest.mark.parametrize("name", ["tls_certificate", "tls_key", "tls_client_ca"])
def test_a_file_that_holds_something_else_is_named(
    certificate: Path, tmp_path: Path, name: str, text: str
) -> None:
    other = tmp_path / "other"
    other.write_text(text)
    settings = {"tls_certificate": certificate, "tls_client_certificates": "optional"}
    told = mistake(**{**settings, "tls_client_ca": certificate, name: other})
    what = "private key" if name == "tls_key" else "certificate"
    assert told == f"the setting {name} names a file without a {what} (PEM): {other}"


def test_a_certificate_without_a_key_is_told_with_where_to_name_one(tmp_path: Path) -> None:
    chain, _ = write_apart(tmp_path)
    assert mistake(tls_certificate=chain) == (
        f"the setting tls_certificate names a file without a private key (PEM): {chain};"
        " where is it? (tls_key)"
    )


def test_a_key_of_another_certificate_is_told(certificate: Path, tmp_path: Path) -> None:
    _, key = write_apart(tmp_path)
    assert mistake(tls_certificate=certificate, tls_key=key) == (
        f"the setting tls_key names a key that is not the certificate's: {key}, {certificate}"
    )


@pytest.mark.parametrize("name", ["tls_certificate", "tls_key", "tls_client_ca"])
def test_a_file_that_is_damaged_is_named(certificate: Path, tmp_path: Path, name: str) -> None:
    chain, key = write_apart(tmp_path)
    settings = {"tls_certificate": chain, "tls_key": key, "tls_client_ca": chain}
    path = settings[name] if name != "tls_client_ca" else tmp_path / "ca.pem"
    begin, *_, end = Path(settings[name]).read_text().splitlines()
    path.write_text(f"{begin}\nAAAA\n{end}\n")
    told = mistake(**{**settings, name: path, "tls_client_certificates": "required"})
    # Of the certificate and its key, OpenSSL does not tell which of them it cannot read.
    named = "tls_certificate" if name == "tls_key" else name
    assert re.match(rf"the setting {named} cannot be used: .*{path}", told)


@pytest.mark.parametrize("password", ["wrong", "x" * 2_000])
def test_a_wrong_password_is_told_and_not_repeated(tmp_path: Path, password: str) -> None:
    chain, key = write_apart(tmp_path, b"open sesame")
    told = mistake(tls_certificate=chain, tls_key=key, tls_key_password=password)
    assert told == f"the setting tls_key_password does not open the key in {key}"


@pytest.mark.parametrize("password", [None, ""])
def test_for_a_password_nobody_is_asked(tmp_path: Path, password: str | None) -> None:
    chain, key = write_apart(tmp_path, b"open sesame")
    told = mistake(tls_certificate=chain, tls_key=key, tls_key_password=password)
    assert told == "the setting tls_key_password is not set, and the key is encrypted"


def test_an_authority_that_is_not_asked_is_told(certificate: Path) -> None:
    told = mistake(tls_certificate=certificate, tls_client_ca=certificate)
    assert told == (
        "the setting tls_client_ca is of no use while tls_client_certificates is 'none',"
        " neither optional nor required"
    )


def test_that_nobody_signs_what_clients_should_have_is_told(certificate: Path) -> None:
    told = mistake(tls_certificate=certificate, tls_client_certificates="optional")
    assert told == (
        "the setting tls_client_certificates is 'optional', but tls_client_ca, which says who"
        " signs them, is not set"
    )


def test_at_a_start_a_mistake_is_one_line_and_exit_code_3(tmp_path: Path) -> None:
    chain, key = write_apart(tmp_path, b"open sesame")
    command = [sys.executable, "-m", "nbdriver", "demo", "--port", "0"]
    command += ["--tls-certificate", str(chain), "--tls-key", str(key)]
    ended = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (3, "")
    (line,) = ended.stderr.splitlines()
    assert line.endswith(
        "Could not start: the setting tls_key_password is not set, and the key is encrypted"
    )


# Reading anew.


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def presented(server: TLS) -> bytes | None:
    """The certificate that a client is shown now."""
    _, client = shake_hands(server.context, client_context())
    return client.getpeercert(binary_form=True)


@contextmanager
def vanishing(path: Path, before: str) -> Iterator[None]:
    """Remove a file when the built-in function of that name is called in the block."""

    def profile(_: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__ == before:
            path.unlink()

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_a_certificate_that_has_changed_is_shown_once_it_is_read_anew(
    certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = tls(tls_certificate=certificate)
    before = presented(server)
    write_certificate(certificate)
    assert presented(server) == before
    assert server.reload()
    assert presented(server) != before
    assert lines(caplog) == [("INFO", "Certificates renewed")]


def test_a_certificate_that_cannot_be_used_does_not_replace_the_old_one(
    certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = tls(tls_certificate=certificate)
    before = presented(server)
    certificate.write_text("")
    assert not server.reload()
    assert presented(server) == before
    told = f"the setting tls_certificate names a file without a certificate (PEM): {certificate}"
    assert lines(caplog) == [
        ("ERROR", f"Certificates are not renewed, the old ones stay: {told}"),
    ]


@pytest.mark.parametrize(
    ("name", "read_by"),
    [
        ("tls_certificate", "load_cert_chain"),
        ("tls_client_ca", "load_verify_locations"),
    ],
)
def test_a_file_that_vanishes_while_it_is_read_is_a_mistake_as_any_other(
    certificate: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    read_by: str,
) -> None:
    files = {"tls_certificate": certificate, "tls_client_ca": write_authority(tmp_path / "ca.pem")}
    settings = {**files, "tls_client_certificates": "optional"}
    server = tls(**settings)
    context, content = server.context, files[name].read_bytes()
    with vanishing(files[name], read_by):
        assert not server.reload()
    assert server.context is context
    files[name].write_bytes(content)
    with vanishing(files[name], read_by):
        told = mistake(**settings)
    assert re.match(rf"the setting {name} cannot be used: .*{files[name]}: .*No such file", told)
    assert lines(caplog) == [
        ("ERROR", f"Certificates are not renewed, the old ones stay: {told}"),
    ]
