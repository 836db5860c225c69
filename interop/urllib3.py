# /// script
# requires-python = ">=3.11"
# dependencies = ["urllib3", "pyopenssl", "idna"]
# ///
"""urllib3 talks mutual TLS, by key file, by SSLContext and by contrib.pyopenssl."""

from __future__ import annotations

import ssl
from pathlib import Path

import urllib3
import urllib3.contrib.pyopenssl

from interop._keys import Key, run
from interop._tls import Files, context, https_server, reference_files


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    client_context = context(files, ssl.Purpose.SERVER_AUTH)
    with https_server(files) as url:
        by_files(url, files)
        with urllib3.PoolManager(ssl_context=client_context) as pool:
            assert pool.request("GET", url).data.decode() == files.fingerprint
        urllib3.contrib.pyopenssl.inject_into_urllib3()
        by_files(url, files)


def by_files(url: str, files: Files) -> None:
    with urllib3.PoolManager(
        cert_file=files.own_certificate,
        key_file=files.own_key,
        ca_certs=files.peer_certificate,
    ) as pool:
        assert pool.request("GET", url).data.decode() == files.fingerprint


if __name__ == "__main__":
    run(prove)
