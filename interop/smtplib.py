# /// script
# requires-python = ">=3.11"
# dependencies = ["aiosmtpd"]
# [tool.parsec-keys]
# library = "python"
# ///
"""smtplib sends mail to aiosmtpd, which wants a certificate after STARTTLS."""

from __future__ import annotations

import smtplib
import ssl
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from cryptography.hazmat.primitives import serialization

from interop._keys import Key, run
from interop._peer import context as peer_context
from interop._servers import free_port
from interop._tls import context, reference_files

DER = serialization.Encoding.DER
SENDER, RECEIVER = "device@example.com", "service@example.com"
MESSAGE = b"Subject: hello\r\n\r\nhello\r\n"


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    handler, port = Handler(), free_port()
    controller = Controller(
        handler,
        "127.0.0.1",
        port,
        require_starttls=True,
        tls_context=peer_context(tmp, ssl.Purpose.CLIENT_AUTH),
    )
    controller.start()
    try:
        with smtplib.SMTP("localhost", port, timeout=30) as client:
            client.starttls(context=context(files, ssl.Purpose.SERVER_AUTH))
            client.sendmail(SENDER, [RECEIVER], MESSAGE)
    finally:
        controller.stop()
    assert handler.received == [(MESSAGE, files.own.public_bytes(DER))]


class Handler:
    def __init__(self) -> None:
        self.received: list[tuple[bytes, bytes]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        certificate = session.ssl["ssl_object"].getpeercert(binary_form=True)
        self.received.append((envelope.content, certificate))
        return "250 OK"


if __name__ == "__main__":
    run(prove)
