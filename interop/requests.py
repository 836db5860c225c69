# /// script
# requires-python = ">=3.11"
# dependencies = ["requests"]
# ///
"""requests talks mutual TLS with a key reference as the key file of cert=."""

from __future__ import annotations

from pathlib import Path

import requests

from interop._keys import Key, run
from interop._tls import https_server, reference_files


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    with https_server(files) as url, requests.Session() as session:
        session.trust_env = False
        session.cert = files.own_certificate, files.own_key
        session.verify = files.peer_certificate

        response = session.get(url, timeout=30)

        assert response.text == files.fingerprint


if __name__ == "__main__":
    run(prove)
