"""Certificates for a test, made when they are needed and thrown away with its folder."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

NAMES = ("localhost", "127.0.0.1", "::1")


@cache
def authority() -> trustme.CA:
    """Who signs; the same for all tests of a run, since keys take their time."""
    return trustme.CA()


@cache
def stranger() -> trustme.CA:
    """Another, whom nobody knows."""
    return trustme.CA()


def write_certificate(path: Path, ca: trustme.CA | None = None) -> Path:
    """A new certificate for this machine with its key, in one file."""
    certificate = (ca or authority()).issue_cert(*NAMES)
    certificate.private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def write_apart(folder: Path, password: bytes | None = None) -> tuple[Path, Path]:
    """A new certificate and, in a file of its own, its key."""
    certificate = authority().issue_cert(*NAMES)
    chain, key = folder / "certificate.pem", folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    text = certificate.private_key_pem.bytes()
    if password is not None:
        text = serialization.load_pem_private_key(text, None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
    key.write_bytes(text)
    return chain, key


def write_authority(path: Path, ca: trustme.CA | None = None) -> Path:
    """The certificate of who signs."""
    (ca or authority()).cert_pem.write_to_path(str(path))
    return path


def client_context(certificate: Path | None = None) -> ssl.SSLContext:
    """What a client that knows the authority connects with; `certificate` is its own."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context
