# /// script
# requires-python = ">=3.11"
# dependencies = ["twisted[tls]"]
# ///
"""Twisted is client and server of mutual TLS with a PrivateCertificate of the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor, ssl, task, threads
from twisted.internet.defer import ensureDeferred
from twisted.web import client, resource, server
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from interop._keys import Key, run
from interop._tls import Files, https_server, reference_files, visit


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    pem = Path(files.own_certificate).read_bytes() + Path(files.own_key).read_bytes()
    own = ssl.PrivateCertificate.loadPEM(pem)
    peer = ssl.Certificate.loadPEM(Path(files.peer_certificate).read_bytes())
    task.react(lambda _: ensureDeferred(both(files, own, peer)))


async def both(files: Files, own: Any, peer: Any) -> None:
    agent = client.Agent(reactor, Policy(own, peer))
    with https_server(files) as url:
        response = await agent.request(b"GET", url.encode())
        assert (await client.readBody(response)).decode() == files.fingerprint

    site = server.Site(Hello())
    port = reactor.listenSSL(0, site, own.options(peer), interface="127.0.0.1")
    assert await threads.deferToThread(visit, files, port.getHost().port) == "hello"


@implementer(IPolicyForHTTPS)
class Policy:
    def __init__(self, own: Any, peer: Any) -> None:
        self._own, self._peer = own, peer

    def creatorForNetloc(self, host: bytes, port: int) -> Any:  # noqa: N802
        return ssl.optionsForClientTLS(host.decode(), self._peer, self._own)


class Hello(resource.Resource):  # type: ignore[misc]
    isLeaf = True  # noqa: N815

    def render_GET(self, request: object) -> bytes:  # noqa: N802
        return b"hello"


if __name__ == "__main__":
    run(prove)
