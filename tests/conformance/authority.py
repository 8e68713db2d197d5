"""A certificate authority that all clients of this process believe.

aiohttp reads the trust store when it is imported, so this has to be imported before it, and the
conftest does. OpenSSL takes the file from the environment.
"""

from __future__ import annotations

import atexit
import os
import tempfile

import trustme

AUTHORITY = trustme.CA()

_file = tempfile.NamedTemporaryFile(suffix=".pem")  # noqa: SIM115  # for as long as the process
atexit.register(_file.close)
AUTHORITY.cert_pem.write_to_path(_file.name)
os.environ["SSL_CERT_FILE"] = _file.name
