"""Which certificates are believed: those of the environment's variables, else the system's, else certifi's."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

from ..errors import BadSetting

_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")  # the first that is set wins; the second may name a folder too
_FOLDER = "SSL_CERT_DIR"
# Where Linux distributions keep their bundle, besides what OpenSSL was built with.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def trusted(environ: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """A client's TLS context. Raises BadSetting that names the variable which cannot be used.

    Without a variable the system's own store is asked (company proxies are known there), as `truststore` does it;
    slim containers have none, and then certifi's list stands in."""
    environ = os.environ if environ is None else environ
    name = next((name for name in _FILES if environ.get(name)), "")
    folder = environ.get(_FOLDER, "")
    if name or folder:
        return _of_environment(name or _FOLDER, environ.get(name, ""), folder)
    if sys.platform.startswith("linux") and not _system_has_certificates():
        import certifi

        return ssl.create_default_context(cafile=certifi.where())
    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _of_environment(name: str, path: str, folder: str) -> ssl.SSLContext:
    """As OpenSSL reads them: of the folders those count that are there."""
    folders = [each for each in folder.split(os.pathsep) if os.path.isdir(each)]
    if path and os.path.isdir(path):
        path, folders = "", [path]
    try:
        if not (os.path.isfile(path) if path else folders):
            raise FileNotFoundError("it is not there")
        return ssl.create_default_context(cafile=path or None, capath=os.pathsep.join(folders) or None)
    except (OSError, ssl.SSLError) as error:
        why = "it is not there" if isinstance(error, FileNotFoundError) else "it holds no certificates"
        raise BadSetting(
            f"The certificates that {name} names cannot be used: {why}. Correct the variable, or unset it to use the "
            "system's certificates."
        ) from error


def _system_has_certificates() -> bool:
    paths = ssl.get_default_verify_paths()
    if any(path and os.path.isfile(path) for path in (paths.cafile, *_BUNDLES)):
        return True
    return bool(paths.capath and os.path.isdir(paths.capath) and any(Path(paths.capath).iterdir()))
