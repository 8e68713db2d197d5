"""The keywords of `Driver.run`: settings of ours, and uvicorn's under our name for them.

NoneBot's users pass them on to the server, which for NoneBot's own drivers is uvicorn; so a bot
that moves over keeps its line. What has a meaning here is understood, and of the rest a warning
says that it is without effect.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

__all__ = ["understand"]

logger = logging.getLogger(__name__)

#: What uvicorn's keywords are called here; NoneBot users pass them to `run`.
_UVICORN_NAMES = {
    "forwarded_allow_ips": "trusted_proxies",
    "ssl_ca_certs": "tls_client_ca",
    "ssl_cert_reqs": "tls_client_certificates",
    "ssl_certfile": "tls_certificate",
    "ssl_keyfile": "tls_key",
    "ssl_keyfile_password": "tls_key_password",
    "timeout_graceful_shutdown": "shutdown_timeout",
    "timeout_keep_alive": "idle_timeout",
    "ws_max_size": "max_message",
    "ws_ping_interval": "ping_interval",
    "ws_ping_timeout": "ping_timeout",
    "ws_per_message_deflate": "deflate",
}
#: uvicorn's keywords that have no meaning here. What is left of `ssl_*` is not among them, and so
#: is an error: to serve as nobody has asked for would be no matter for a warning.
_UVICORN_ONLY = frozenset(
    """app app_dir callback_notify date_header debug env_file factory
    h11_max_incomplete_event_size headers http interface lifespan limit_concurrency
    limit_max_requests limit_max_requests_jitter log_config proxy_headers reload reload_delay
    reload_dirs reload_excludes reload_includes reset_contextvars root_path timeout_notify
    timeout_worker_healthcheck use_colors workers ws ws_max_queue""".split()
)


def understand(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """`run`'s keywords as settings: ours as they are, uvicorn's by our name for them.

    Those of uvicorn's that have no meaning here are named in a warning.
    """
    ignored = sorted(_UVICORN_ONLY.intersection(keywords))
    if ignored:
        logger.warning("Settings of uvicorn that have no meaning here: %s", ", ".join(ignored))
    settings = {
        _UVICORN_NAMES.get(name, name): value
        for name, value in keywords.items()
        if name not in _UVICORN_ONLY
    }
    for name, scheme in (("uds", "unix"), ("fd", "fd")):
        if (place := settings.pop(name, None)) is not None:
            settings["listen"] = f"{scheme}:{place}"
    # There it is a number of the module ssl, as which 0 to 2 mean the same.
    if isinstance(number := keywords.get("ssl_cert_reqs"), int) and 0 <= number <= 2:
        settings["tls_client_certificates"] = ("none", "optional", "required")[number]
    if "loop" in settings:
        settings["uvloop"] = settings.pop("loop") != "asyncio"
    # Here uvicorn's name is ours too, but says only whether there is such a header.
    if isinstance(header := settings.get("server_header"), bool):
        del settings["server_header"]
        settings |= {} if header else {"server_header": None}
    # uvicorn's defaults: to wait for ever, to look into the environment. Whoever says nothing of it
    # gets our default as well.
    for name in ("timeout_graceful_shutdown", "forwarded_allow_ips"):
        if keywords.get(name, 0) is None:
            del settings[_UVICORN_NAMES[name]]
    return settings
