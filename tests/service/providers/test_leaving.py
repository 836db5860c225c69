"""A child that ends, whichever way, ends nothing of its parent's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

import parsec_keys
from parsec_keys.emulators import Swtpm
from tests.service.providers.children import in_a_child
from tests.service.providers.leaving import MESSAGE, SCHEME, TIMES
from tests.service.providers.relay import OneAtATime, Relay
from tests.service.providers.tokens import Token, Tpm2Token, url
from tests.service.providers.tpm_keys import handles

ROOT = Path(__file__).parents[3]
UNUSED = ("_exit", "a normal end")
WAYS = (*UNUSED, "a normal end after signing")


def watched(
    how: str, url: str, key: Any, look: Callable[[], object] = lambda: None
) -> list[object]:
    """Run the program, and answer what ``look`` saw before the child and after it."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning"]  # fork and threads
    with subprocess.Popen(
        [*command, "-m", "tests.service.providers.leaving", how, url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        saw = []
        for line in ("signed\n", "the child is gone\n"):
            assert program.stdout.readline() == line, program.communicate()[1]
            saw.append(look())
            print(file=program.stdin, flush=True)
        said, failure = program.communicate()
    assert (program.returncode, failure) == (0, "")
    signatures = json.loads(said)
    assert len(signatures) == 2 * TIMES
    for signature in signatures:
        key.verify(bytes.fromhex(signature), MESSAGE, *SCHEME)
    return saw


@pytest.mark.parametrize("relay_of", [Relay, OneAtATime])
@pytest.mark.parametrize("how", WAYS)
def test_a_child_of_a_tpms_user(
    swtpm: Swtpm, esapi: Any, tmp_path: Path, how: str, relay_of: type[Relay]
) -> None:
    with relay_of(swtpm) as relay:
        store_url = f"tpm:{relay.tcti}?store={tmp_path}"
        with parsec_keys.open_store(store_url) as store:
            key = store.generate_rsa("key").public_key()

        before, after = watched(
            how, store_url, key, lambda: (len(relay.commands), handles(esapi))
        )

    if how in UNUSED:
        assert before == after
    assert handles(esapi) == []


@pytest.mark.parametrize("how", WAYS)
def test_a_child_of_a_tokens_user(
    any_token: tuple[str, Token], tmp_path: Path, how: str
) -> None:
    _, token = any_token

    def made() -> bytes:
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            key = store.generate_rsa("key").public_key()
            return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def work() -> None:
        token.enter()
        key = load_der_public_key(in_a_child(made))
        watched(how, url(token, tmp_path), key)

    if isinstance(token, Tpm2Token):
        token.flush()
    in_a_child(work)
    if isinstance(token, Tpm2Token):
        token.flush()
