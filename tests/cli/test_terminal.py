"""The command line on a terminal: tables, questions, a spinner, no raw bytes."""

from __future__ import annotations

import base64
import errno
import os
import pty
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys

_SECONDS = 20.0


@dataclass(frozen=True)
class Terminal:
    """A terminal on which commands run, on one software store."""

    url: str

    def run(
        self, *arguments: str, asked: bytes = b"", answer: bytes = b""
    ) -> tuple[int, str]:
        """Run a command, answer its question, and give its status and all output."""
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "parsec_keys", "--store", self.url]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
        with subprocess.Popen(
            [*command, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        ) as process:
            os.close(slave)
            shown = _read(master, asked) if asked else b""
            if asked:
                os.write(master, answer)
            shown += _read(master, None)
        os.close(master)
        return process.returncode, shown.decode().replace("\r\n", "\n")


def _read(master: int, until: bytes | None) -> bytes:
    """What a terminal shows until some text, or until its program ends."""
    shown = b""
    deadline = time.monotonic() + _SECONDS
    while until is None or until not in shown:
        left = deadline - time.monotonic()
        assert left > 0, shown
        if not select.select([master], [], [], left)[0]:
            continue
        try:
            shown += os.read(master, 4096)
        except OSError as e:  # Linux says so when nobody has the other end open.
            if e.errno != errno.EIO or until is not None:
                raise
            break
    return shown


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    try:
        for descriptor in pty.openpty():
            os.close(descriptor)
    except OSError as e:
        pytest.skip(f"this machine has no terminals ({e}): mount devpts on /dev/pts")
    with parsec_keys.open_store(f"software:{tmp_path / 'store'}") as store:
        store.generate_ec("device", ec.SECP256R1())
        store.generate_ec("[bold]", ec.SECP384R1())
        return Terminal(store.url)


def test_a_list_is_a_table(terminal: Terminal) -> None:
    status, shown = terminal.run("list")

    assert status == 0
    assert "━━━┳━━━" in shown
    assert "│ device" in shown
    assert "│ [bold]" in shown


def test_a_table_cuts_nothing_off(terminal: Terminal) -> None:
    name = "long" * 60
    assert terminal.run("generate", name)[0] == 0

    status, shown = terminal.run("list")

    assert status == 0
    assert "…" not in shown


def test_a_new_key_is_waited_for(terminal: Terminal) -> None:
    status, shown = terminal.run("generate", "[/x]")

    assert status == 0
    assert "making '[/x]'" in shown
    assert "parsec:%5B%2Fx%5D?store=" in shown


def test_a_signature_is_base64(terminal: Terminal, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"data")
    with parsec_keys.open_store(terminal.url) as store:
        public_key = store.load("device").public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)

    status, shown = terminal.run("sign", "device", str(data))

    assert status == 0
    signature = base64.b64decode(shown, validate=False)
    public_key.verify(signature, b"data", ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize(
    ("answer", "status", "kept"), [(b"y\n", 0, False), (b"n\n", 1, True)]
)
def test_destroying_asks_first(
    terminal: Terminal, answer: bytes, status: int, kept: bool
) -> None:
    done, shown = terminal.run("delete", "device", asked=b"[y/N]", answer=answer)

    assert status == done
    assert "Traceback" not in shown
    with parsec_keys.open_store(terminal.url) as store:
        names = [info.name for info in store.keys()]  # noqa: SIM118
    assert kept == ("device" in names)


def test_no_answer_destroys_nothing(terminal: Terminal) -> None:
    done, _ = terminal.run(
        "delete", "device", asked=b"[y/N]", answer=b"\x04"
    )  # Ctrl-D: the input ends.

    assert done == 130
    with parsec_keys.open_store(terminal.url) as store:
        assert store.load("device").name == "device"


def test_a_passphrase_is_asked_and_not_shown(
    terminal: Terminal, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "key.der"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"sesame"),
        )
    )

    status, shown = terminal.run(
        "import", "opened", str(file), asked=b"passphrase: ", answer=b"sesame\n"
    )

    assert status == 0
    assert "sesame" not in shown
    with parsec_keys.open_store(terminal.url) as store:
        assert key.public_key() == store.load("opened").public_key()
