"""A prefork server: the parent opens store and context, four children serve.

And a fork while another thread is in a handshake, within a callback of OpenSSL's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.emulators import Swtpm
from tests.conftest import open_or_miss
from tests.forks import inside
from tests.programs import said_by
from tests.service.providers.children import in_a_child, in_the_parent
from tests.service.providers.relay import Command, Harm, OneAtATime, Relay
from tests.tls.handshakes import (
    context,
    files,
    pyopenssl_context,
    pyopenssl_shake,
    shake,
)

P256 = ec.SECP256R1()


@pytest.mark.parametrize("library", ["ssl", "pyopenssl"])
def test_prefork(
    provider: str, new_url: Callable[[str], str], tmp_path: Path, library: str
) -> None:
    url = new_url(provider)
    with open_or_miss(provider, url) as store:
        key = store.generate_ec("server", P256)
        own = files(key, tmp_path / "own")
    peer = files(ec.generate_private_key(P256), tmp_path / "peer")

    said = said_by("tests.tls.prefork", library, str(own), str(peer), url)

    assert said["children"] == [0] * 4
    assert said["versions"] == {"TLSv1.3": 24}
    assert said["signatures"]
    for signature in said["signatures"]:
        key.public_key().verify(
            bytes.fromhex(signature), b"meanwhile", ec.ECDSA(hashes.SHA256())
        )


@pytest.mark.parametrize("relay_of", [Relay, OneAtATime])
@pytest.mark.parametrize("library", ["ssl", "pyopenssl"])
def test_a_fork_within_a_handshake(
    tmp_path: Path, library: str, relay_of: type[Relay]
) -> None:
    with (
        Swtpm(tmp_path / "tpm") as swtpm,
        relay_of(swtpm) as relay,
        parsec_keys.open_store(f"tpm:{relay.tcti}?store={tmp_path}/store") as store,
    ):
        key = store.generate_ec("server", P256)
        theirs = ec.generate_private_key(P256)
        own, peer = files(key, tmp_path / "own"), files(theirs, tmp_path / "peer")
        # OpenSSL's contexts have locks of their own, which a child finds as they are.
        in_a_thread, elsewhere = (
            handshake(library, key, theirs, own, peer) for _ in range(2)
        )

        def in_the_child() -> None:
            in_the_parent("go_on")
            elsewhere()

        relay.harm(Command.SIGN, Harm.SILENCE)
        with inside(in_a_thread, lambda: relay.left(Command.SIGN) == 0, relay.go_on):
            in_a_child(in_the_child, go_on=relay.go_on)
            elsewhere()


def handshake(
    library: str, key: Any, theirs: Any, own: Path, peer: Path
) -> Callable[[], object]:
    """A function that shakes hands, with contexts that are made now."""
    if library == "ssl":
        client, server = context(peer, own, False), context(own, peer, True)
        return functools.partial(shake, client, server)
    certificates = [
        x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        for folder in (own, peer)
    ]
    return functools.partial(
        pyopenssl_shake,
        pyopenssl_context(theirs, peer / "cert.pem", certificates[0]),
        pyopenssl_context(key, own / "cert.pem", certificates[1]),
    )
