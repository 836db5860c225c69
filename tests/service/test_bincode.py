"""The reader of Rust's bincode: what it reads, and that it refuses all else cleanly."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsec_keys.errors import StorageFailure
from parsec_keys.service.bincode import Reader


def test_values_one_after_the_other() -> None:
    data = "0a000000 0200000000000000 0102 01 78563412 000000 ff"
    reader = Reader(bytes.fromhex(data), "it")

    assert reader.variant("abcdefghijkl") == "k"
    assert reader.octets() == b"\x01\x02"
    assert reader.flag() is True
    assert reader.number(4) == 0x12345678
    reader.zeros(3)
    assert reader.rest() == b"\xff"
    reader.finish()


def test_what_does_not_fit_is_refused_by_what_it_is() -> None:
    for data, read in (
        (b"\x01\x00\x00", lambda r: r.number(4)),
        (b"\x02\x00\x00\x00", lambda r: r.variant("ab")),
        (b"\x02", Reader.flag),
        (b"\x05" + bytes(7) + b"four", Reader.octets),
        (b"\xff" * 16, Reader.octets),
        (b"\x00\x01", lambda r: r.zeros(2)),
        (b"\x00", Reader.finish),
    ):
        with pytest.raises(StorageFailure, match="its policy cannot be read"):
            read(Reader(data, "its policy"))


def test_a_refusal_does_not_quote_the_data() -> None:
    with pytest.raises(StorageFailure) as refused:
        Reader(b"secret" * 4, "its key id").octets()

    assert "secret" not in str(refused.value)


@given(st.binary(max_size=64), st.lists(st.sampled_from("nvfoz"), max_size=8))
def test_any_bytes_are_read_or_refused(data: bytes, steps: list[str]) -> None:
    reader = Reader(data, "it")
    read = {
        "n": lambda: reader.number(4),
        "v": lambda: reader.variant("abc"),
        "f": reader.flag,
        "o": reader.octets,
        "z": lambda: reader.zeros(2),
    }
    with contextlib.suppress(StorageFailure):
        for step in steps:
            read[step]()
        reader.finish()
