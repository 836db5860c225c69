"""Secrets: not shown, not taken along, and overwritten when nobody has them."""

from __future__ import annotations

import copy
import json
import os
import pickle
import threading
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsec_keys.errors import ConfigurationError
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.secret import Secret, read_secret

OCTETS = b"\xff open sesame \0"


def test_octets_are_overwritten_when_nobody_keeps_them() -> None:
    secret = Secret(OCTETS)
    config = TpmConfig("device:/dev/tpmrm0", secret)
    place = secret.octets

    del secret
    assert place == OCTETS

    del config
    assert place == bytes(len(OCTETS))


def test_a_secret_is_not_shown_and_not_taken_along() -> None:
    config = TpmConfig("device:/dev/tpmrm0", Secret(OCTETS))

    for text in (repr(config), str(asdict(config)), f"{config.owner_hierarchy_auth}"):
        assert "sesame" not in text
    for taken in (copy.copy, copy.deepcopy):
        assert taken(config).owner_hierarchy_auth is config.owner_hierarchy_auth
    for takes in (pickle.dumps, lambda it: json.dumps(asdict(it))):
        with pytest.raises(TypeError):
            takes(config)


def test_secrets_are_compared_by_their_octets() -> None:
    assert Secret(OCTETS) == Secret(bytearray(OCTETS))
    assert Secret(OCTETS) != Secret(OCTETS[:-1])
    assert Secret(OCTETS) != OCTETS
    assert not Secret(b"")


@given(st.binary(max_size=200), st.sampled_from([b"", b"\n", b"\r\n", b"\nmore\n"]))
def test_the_first_line_of_a_file(line: bytes, rest: bytes) -> None:
    file = os.memfd_create("secret")
    try:
        os.write(file, line + rest)

        secret = read_secret(Path(f"/proc/self/fd/{file}"))
    finally:
        os.close(file)

    assert secret == Secret((line + rest).partition(b"\n")[0].rstrip(b"\r"))


def test_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            file.write(b"open ")
            file.write(b"sesame\nand more")

    writer = threading.Thread(target=write)
    writer.start()
    assert read_secret(pipe) == Secret(b"open sesame")
    writer.join()


@pytest.mark.parametrize("path", ["/nonexistent", "/", "/dev/zero"])
def test_a_file_without_a_secret(path: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{path} "):
        read_secret(Path(path))
