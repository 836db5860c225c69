# /// script
# requires-python = ">=3.11"
# dependencies = ["pip"]
# ///
"""pip, unmodified under parsec-keys run, reads requirements by mutual TLS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from interop._keys import Key, run
from interop._servers import with_keys
from interop._tls import https_server, reference_files

# Each would choose another certificate authority than --cert does.
ELSEWHERE = {"CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"}


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    both = tmp / "both.pem"
    both.write_text(
        Path(files.own_certificate).read_text() + Path(files.own_key).read_text()
    )
    environment = {name: os.environ[name] for name in os.environ.keys() - ELSEWHERE}
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
    with https_server(files) as url:
        download = ["download", "--no-index", "-r", f"{url}requirements.txt"]
        given = ["--cert", files.peer_certificate, "--client-cert", str(both)]
        done = subprocess.run(
            [*with_keys(key), *pip, *download, *given],
            cwd=tmp,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    # The server answers with the client's certificate, and no package is called that.
    wanted = f"No matching distribution found for {files.fingerprint}"
    assert wanted in done.stderr, done.stderr


if __name__ == "__main__":
    run(prove)
