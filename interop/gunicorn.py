# /// script
# requires-python = ">=3.11"
# dependencies = ["gunicorn"]
# ///
"""gunicorn, unmodified under parsec-keys run, serves mutual TLS from two workers."""

from __future__ import annotations

import sys
from pathlib import Path

from interop._keys import Key, run
from interop._servers import free_port, program, with_keys
from interop._tls import reference_files, visit

APPLICATION = """
def application(environment, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""
CONFIGURATION = """
import ssl

bind = "127.0.0.1:{port}"
workers = 2
certfile = "{files.own_certificate}"
keyfile = "{files.own_key}"
ca_certs = "{files.peer_certificate}"
cert_reqs = ssl.CERT_REQUIRED
"""


def prove(key: Key, tmp: Path) -> None:
    files, port = reference_files(key, tmp), free_port()
    (tmp / "hello.py").write_text(APPLICATION)
    config = tmp / "gunicorn.conf.py"
    config.write_text(CONFIGURATION.format(port=port, files=files))
    gunicorn = [*with_keys(key), sys.executable, "-m", "gunicorn", "-c", str(config)]
    command = [*gunicorn, "--chdir", str(tmp), "hello:application"]
    with program(command, "Booting worker"):
        assert visit(files, port) == "hello"


if __name__ == "__main__":
    run(prove)
