"""asyncio: the loop goes on while a key signs in a thread, and a hundred do at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.emulators import Swtpm
from parsec_keys.psa.opcodes import Opcode
from tests.daemon import Daemon, exchange
from tests.service.providers.children import in_a_child
from tests.service.providers.faults import Faults, compiled
from tests.service.providers.relay import Command, Harm, Relay
from tests.service.providers.tokens import SoftHsmToken
from tests.test_client import Fake

P256, ECDSA = ec.SECP256R1(), ec.ECDSA(hashes.SHA256())
MESSAGE = b"a message"


async def sign(key: Any, message: bytes = MESSAGE) -> None:
    signature = await asyncio.to_thread(key.sign, message, ECDSA)
    key.public_key().verify(signature, message, ECDSA)


def test_a_hundred_at_once(store: parsec_keys.KeyStore) -> None:
    """Each in a thread: more than there are sessions, and than there are slots."""
    keys = [store.generate_ec(f"key-{number}", P256) for number in range(4)]

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(100))
        await asyncio.gather(
            *(sign(keys[number % 4], b"%d" % number) for number in range(100))
        )

    asyncio.run(main())


async def goes_on(
    key: Any, is_held: Callable[[], bool], let_go: Callable[[], None]
) -> None:
    """Let the loop turn while the next signature is held, and give that one up."""
    await asyncio.to_thread(lambda: None)  # The pool is there.
    held = asyncio.create_task(sign(key))
    async with asyncio.timeout(20):
        while not is_held():  # This would not come true in a loop that stands still.
            await asyncio.sleep(0)
    assert not held.done()

    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held

    waiting = asyncio.gather(*(sign(key) for _ in range(8)))
    await asyncio.sleep(0)
    let_go()
    await waiting
    await sign(key)


def test_a_tpm_that_takes_long(tmp_path: Path) -> None:
    with (
        Swtpm(tmp_path / "tpm") as swtpm,
        Relay(swtpm) as relay,
        parsec_keys.open_store(f"tpm:{relay.tcti}?store={tmp_path}/store") as store,
    ):
        key = store.generate_ec("key", P256)
        relay.harm(Command.SIGN, Harm.SILENCE)
        asyncio.run(goes_on(key, lambda: relay.left(Command.SIGN) == 0, relay.go_on))


def test_a_token_that_takes_long(tmp_path: Path) -> None:
    token = SoftHsmToken(tmp_path)
    injector = compiled(tmp_path)

    def work() -> None:
        faults = Faults(injector, token)
        with parsec_keys.open_store(faults.url(tmp_path / "store")) as store:
            key = store.generate_ec("key", P256)
            faults.hold("C_Sign")
            asyncio.run(
                goes_on(key, lambda: faults.held > 0, lambda: faults.let_go("C_Sign"))
            )

    in_a_child(work)


def test_a_service_that_takes_long(tmp_path: Path) -> None:
    waiting, go_on = threading.Event(), threading.Event()

    def relayed(request: bytes) -> bytes:
        if int.from_bytes(request[28:32], "little") == Opcode.PSA_SIGN_HASH:
            waiting.set()
            go_on.wait(20)
        return exchange(daemon.socket, request)

    with Daemon(tmp_path) as daemon:
        fake = Fake(tmp_path / "fake.sock", relayed)
        try:
            with parsec_keys.open_store(fake.url) as store:
                key = store.generate_ec("key", P256)
                asyncio.run(goes_on(key, waiting.is_set, go_on.set))
        finally:
            fake.close()
