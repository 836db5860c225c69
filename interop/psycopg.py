# /// script
# requires-python = ">=3.11"
# dependencies = ["psycopg[binary]"]
# ///
"""psycopg logs in to a real PostgreSQL by certificate, with a key reference as sslkey.

Its wheel has a libcrypto of its own. It is mapped when psycopg is imported, so that
making the reference registers our OpenSSL provider there too.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

from interop._keys import Key, run
from interop._servers import postgresql
from interop._tls import reference_files

QUERY = "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    with (
        postgresql(files) as port,
        psycopg.connect(
            f"host=localhost port={port} user=parsec-keys dbname=postgres",
            sslmode="verify-full",
            sslrootcert=files.peer_certificate,
            sslcert=files.own_certificate,
            sslkey=files.own_key,
        ) as connection,
    ):
        assert connection.execute(QUERY).fetchone() == ("/CN=parsec-keys",)


if __name__ == "__main__":
    run(prove)
