"""The operations from a request's bytes to a response's, without a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from parsec_keys.psa import algorithms as a
from parsec_keys.psa import symmetric as s
from parsec_keys.psa.attributes import (
    EccFamily,
    EccPublicKey,
    KeyType,
    UsageFlags,
)
from parsec_keys.psa.attributes import UnstructuredKeyType as Type
from parsec_keys.psa.operations import (
    ListKeys,
    Operation,
    PsaExportKey,
    PsaGenerateKey,
    PsaImportKey,
)
from parsec_keys.psa.operations.service import (
    CanDoCrypto,
    CheckType,
    DeleteClient,
    ListClients,
)
from parsec_keys.psa.operations.symmetric import (
    PsaAeadDecrypt,
    PsaAeadEncrypt,
    PsaCipherDecrypt,
    PsaCipherEncrypt,
    PsaHashCompare,
    PsaHashCompute,
    PsaMacCompute,
    PsaMacVerify,
    PsaSignMessage,
    PsaVerifyMessage,
)
from parsec_keys.psa.status import Status
from parsec_keys.service.authenticators import Direct
from parsec_keys.service.front import Front
from parsec_keys.service.wire.frames import Request
from parsec_keys.service.wire.requests import encode_request
from parsec_keys.service.wire.results import Numbering, decode_result
from tests.service.operations.caller import EVERYTHING, attributes
from tests.service.operations.conftest import open_service
from tests.service.operations.keys import ECC, PAIR, SHA256, ecc_private, ecc_public

SOFTWARE = 1
NUMBERING = Numbering({SOFTWARE: "software"})
TRUNCATED = s.TruncatedMac(s.BlockCipherMac.CMAC, 8)
SHORTENED = s.AeadWithShortenedTag(s.Aead.CCM, 8)


@dataclass
class Peer:
    """A client that says its name and is believed."""

    front: Front
    name: str

    def ask(self, operation: Operation[Any], provider: int = SOFTWARE) -> Any:
        request = Request(
            *(operation.opcode, encode_request(operation), provider),
            *(Direct.type, self.name.encode()),
        )
        response = self.front.respond(request, 0)
        if response.status is not Status.SUCCESS:
            return response.status
        return decode_result(operation.opcode, response.body, NUMBERING)


@pytest.fixture
def front(new_url: Callable[[str], str]) -> Iterator[Front]:
    service = open_service(new_url("software"))
    yield Front(service, Direct(), admins=["admin"])
    service.close()


@pytest.fixture
def peer(front: Front) -> Peer:
    return Peer(front, "peer")


def made(peer: Peer, key_type: KeyType, algorithm: a.PermittedAlgorithm) -> str:
    name = f"key for {algorithm}"
    wanted = attributes(key_type, 128, algorithm, EVERYTHING)
    assert peer.ask(PsaGenerateKey(name, wanted)) is None
    return name


def test_symmetric_operations(peer: Peer) -> None:
    sealing = made(peer, Type.AES, SHORTENED)
    ciphering = made(peer, Type.AES, s.Cipher.CTR)
    proving = made(peer, Type.AES, TRUNCATED)

    sealed = peer.ask(PsaAeadEncrypt(sealing, SHORTENED, bytes(13), b"data", b"text"))
    hidden = peer.ask(PsaCipherEncrypt(ciphering, s.Cipher.CTR, b"text"))
    mac = peer.ask(PsaMacCompute(proving, TRUNCATED, b"text"))

    assert (len(sealed), len(hidden), len(mac)) == (4 + 8, 16 + 4, 8)
    unseal = PsaAeadDecrypt(sealing, SHORTENED, bytes(13), b"data", sealed)
    assert peer.ask(unseal) == b"text"
    assert peer.ask(PsaCipherDecrypt(ciphering, s.Cipher.CTR, hidden)) == b"text"
    assert peer.ask(PsaMacVerify(proving, TRUNCATED, b"text", mac)) is None
    wrong = peer.ask(PsaMacVerify(proving, TRUNCATED, b"text", bytes(8)))
    assert wrong is Status.PSA_ERROR_INVALID_SIGNATURE
    assert len(peer.ask(PsaExportKey(proving))) == 16
    hashed = peer.ask(PsaHashCompute(SHA256, b"abc"))
    assert peer.ask(PsaHashCompare(SHA256, b"abc", hashed)) is None


def test_a_listing_says_every_attribute(peer: Peer) -> None:
    algorithms = {
        made(peer, Type.AES, SHORTENED): SHORTENED,
        made(peer, Type.AES, TRUNCATED): TRUNCATED,
        made(peer, Type.HMAC, s.Hmac(SHA256)): s.Hmac(SHA256),
        made(peer, Type.RAW_DATA, None): None,
    }
    public = attributes(EccPublicKey(EccFamily.SECP_R1), 0, a.Ecdsa(SHA256), EVERYTHING)
    point = ecc_public(ECC[521].public_key())
    assert peer.ask(PsaImportKey("public", public, point)) is None

    listed = {key.name: key.attributes for key in peer.ask(ListKeys(), 0)}

    assert listed.pop("public").bits == 521
    assert {name: each.policy.algorithm for name, each in listed.items()} == algorithms
    assert all(each.policy.usage == EVERYTHING for each in listed.values())


def test_whole_messages(peer: Peer) -> None:
    algorithm = a.Ecdsa(SHA256)
    wanted = attributes(PAIR, 256, algorithm, UsageFlags.SIGN_HASH)
    assert peer.ask(PsaImportKey("key", wanted, ecc_private(ECC[256]))) is None

    signature = peer.ask(PsaSignMessage("key", algorithm, b"message"))

    verify = PsaVerifyMessage("key", algorithm, b"message", signature)
    assert peer.ask(verify) is Status.PSA_ERROR_NOT_PERMITTED
    public = attributes(
        *(EccPublicKey(EccFamily.SECP_R1), 256, algorithm, UsageFlags.VERIFY_MESSAGE)
    )
    point = ecc_public(ECC[256].public_key())
    assert peer.ask(PsaImportKey("public", public, point)) is None
    verify = PsaVerifyMessage("public", algorithm, b"message", signature)
    assert peer.ask(verify) is None


def test_only_an_administrator_lists_and_deletes_clients(front: Front) -> None:
    peer, admin = Peer(front, "peer"), Peer(front, "admin")
    made(peer, Type.AES, s.Cipher.CTR)

    assert peer.ask(ListClients(), 0) is Status.ADMIN_OPERATION
    assert peer.ask(DeleteClient("peer"), 0) is Status.ADMIN_OPERATION
    assert admin.ask(ListClients(), 0) == ("peer",)
    assert admin.ask(DeleteClient("peer"), 0) is None
    assert peer.ask(ListKeys(), 0) == ()


def test_what_can_be_done(peer: Peer) -> None:
    agreeing = attributes(PAIR, 256, a.ECDH, UsageFlags.DERIVE)

    assert peer.ask(CanDoCrypto(CheckType.USE, agreeing)) is None
    derive = CanDoCrypto(CheckType.DERIVE, agreeing)
    assert peer.ask(derive) is Status.PSA_ERROR_NOT_SUPPORTED
