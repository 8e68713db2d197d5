"""The server's certificates: read from files, refused in one clear line, read anew when asked.

OpenSSL says what is wrong in words for itself ('PEM lib', 'key values mismatch') and asks for a
password at the terminal; a person who starts a server wants to know which setting to look at.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from ..config import ServerConfig
from ..errors import StartupError

__all__ = ["TLS"]

logger = logging.getLogger(__name__)

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"
_MODES = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


class TLS:
    """What new connections are encrypted with."""

    def __init__(self, config: ServerConfig) -> None:
        """Raises StartupError that names the setting which cannot be used."""
        self._config = config
        self.context = _context(config)
        """The context in force; another after `reload`."""

    @classmethod
    def of(cls, config: ServerConfig) -> TLS | None:
        """As the configuration says; None where it asks for none. Raises StartupError."""
        if config.tls_certificate is not None:
            return cls(config)
        for name in ("tls_key", "tls_key_password", "tls_client_ca"):
            if getattr(config, name):
                raise _unusable(name, "is of no use without tls_certificate, which is not set")
        if config.tls_client_certificates != "none":
            raise _unusable(
                "tls_client_certificates", "is of no use without tls_certificate, which is not set"
            )
        return None

    def reload(self) -> bool:
        """Read the files anew: what connects from now on gets what they hold, others stay.

        Gives whether that could be done. If not, all stays as it was, and the log tells why.
        """
        try:
            self.context = _context(self._config)
        except StartupError as error:
            logger.error("Certificates are not renewed, the old ones stay: %s", error)
            return False
        logger.info("Certificates renewed")
        return True


def _unusable(name: str, what: str) -> StartupError:
    return StartupError(f"the setting {name} {what}")


def _context(config: ServerConfig) -> ssl.SSLContext:
    # As OpenSSL is built and configured here, but for what is old: TLS 1.2 is the least that RFC
    # 9325, 3.1.1 lets one offer. Python has turned off compression (CRIME) itself.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client that renegotiates over and over costs much more than it pays (RFC 9325, 3.5).
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, config)
    _load_client_ca(context, config)
    return context


def _load_certificate(context: ssl.SSLContext, config: ServerConfig) -> None:
    certificate = str(config.tls_certificate)
    if _CERTIFICATE not in _content("tls_certificate", certificate):
        raise _unusable(
            "tls_certificate", f"names a file without a certificate (PEM): {certificate}"
        )
    key_setting = "tls_certificate" if config.tls_key is None else "tls_key"
    key = config.tls_key or certificate
    if _KEY not in _content(key_setting, key):
        hint = "; where is it? (tls_key)" if config.tls_key is None else ""
        raise _unusable(key_setting, f"names a file without a private key (PEM): {key}{hint}")
    password = _Password(config.tls_key_password)
    try:
        context.load_cert_chain(certificate, key, password)
    # Besides SSLError, which is one, an OSError: the file may have gone since it was looked at.
    except (OSError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise _unusable(
                key_setting, f"names a key that is not the certificate's: {key}, {certificate}"
            ) from error
        if password.asked:
            raise _unusable("tls_key_password", f"does not open the key in {key}") from error
        raise _unusable(
            "tls_certificate", f"cannot be used: {key}, {certificate}: {error}"
        ) from error


class _Password:
    """Gives OpenSSL the password, which would else ask whoever sits at the terminal for it."""

    def __init__(self, password: str | None) -> None:
        self._password = password
        self.asked = False

    def __call__(self) -> str:
        self.asked = True
        if not self._password:
            raise _unusable("tls_key_password", "is not set, and the key is encrypted")
        return self._password


def _load_client_ca(context: ssl.SSLContext, config: ServerConfig) -> None:
    wanted = config.tls_client_certificates
    if config.tls_client_ca is None:
        if wanted != "none":
            raise _unusable(
                "tls_client_certificates",
                f"is {wanted!r}, but tls_client_ca, which says who signs them, is not set",
            )
        return
    if wanted == "none":
        raise _unusable(
            "tls_client_ca",
            "is of no use while tls_client_certificates is 'none', neither optional nor required",
        )
    if _CERTIFICATE not in _content("tls_client_ca", config.tls_client_ca):
        raise _unusable(
            "tls_client_ca", f"names a file without a certificate (PEM): {config.tls_client_ca}"
        )
    try:
        context.load_verify_locations(config.tls_client_ca)
    except OSError as error:  # As above.
        raise _unusable(
            "tls_client_ca", f"cannot be used: {config.tls_client_ca}: {error}"
        ) from error
    context.verify_mode = _MODES[wanted]


def _content(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise _unusable(name, f"names a file that cannot be read: {path}: {reason}") from error
