# /// script
# requires-python = ">=3.11"
# dependencies = ["gunicorn"]
# ///
"""gunicorn serves mutual TLS from two workers; its configuration calls tls.enable()."""

from __future__ import annotations

import sys
from pathlib import Path

from interop._keys import Key, run
from interop._servers import default_store, free_port, program
from interop._tls import reference_files, visit

APPLICATION = """
def application(environment, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""
CONFIGURATION = """
import ssl
import parsec_keys.tls

parsec_keys.tls.enable()
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
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", str(config)]
    command = [*gunicorn, "--chdir", str(tmp), "hello:application"]
    with program(command, "Booting worker", environment=default_store(key)):
        assert visit(files, port) == "hello"


if __name__ == "__main__":
    run(prove)
