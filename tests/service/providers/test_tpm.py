"""The TPM provider alone, driven through the provider protocol on a real swtpm."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from parsec_keys._pyca import HASHES
from parsec_keys.emulators import Swtpm
from parsec_keys.errors import DecryptionFailed, NotSupported
from parsec_keys.psa.algorithms import (
    ECDH,
    ECDSA_ANY,
    RSA_PKCS1V15_CRYPT,
    RSA_PKCS1V15_SIGN_RAW,
    DeterministicEcdsa,
    Ecdsa,
    Hash,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPss,
)
from parsec_keys.psa.attributes import EccFamily
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.key_formats import curve_of, encode_rsa_private_key
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers import (
    Decrypter,
    KeyAgreer,
    KeyFinder,
    RandomGenerator,
    Signer,
)
from parsec_keys.service.providers.tpm import TpmProvider
from parsec_keys.service.providers.tpm._key_id import LoadableKey, decode_key_id
from tests.service.providers.tpm_keys import (
    ec_attributes,
    ec_public_key,
    generated,
    imported,
    recorded,
    rsa_attributes,
    rsa_public_key,
    verify_ecdsa,
)

CURVES = (224, 256, 384, 521)
PKCS1 = padding.PKCS1v15()
SHA256 = hashes.SHA256()


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "protected"])
def tpm(
    request: pytest.FixtureRequest, new_swtpm: Callable[[], Swtpm]
) -> Iterator[TpmProvider]:
    """A provider with each way to authorise; ``protected`` is that of a real bus."""
    config = TpmConfig(new_swtpm().tcti, protect_bus=request.param)
    opened = TpmProvider.open(config)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def rsa_key(tpm: TpmProvider) -> KeyRecord:
    return generated(tpm, rsa_attributes(2048))


@pytest.fixture(scope="module")
def ec_keys(tpm: TpmProvider) -> dict[int, KeyRecord]:
    return {bits: generated(tpm, ec_attributes(bits)) for bits in CURVES}


def test_what_it_is_and_can(tpm: TpmProvider) -> None:
    assert (
        tpm.info.id,
        tpm.info.uuid,
    ) == (3, "1e4954a4-ff21-46d3-ab0c-661eeb667e1d")
    for capability in (Signer, Decrypter, KeyAgreer, RandomGenerator, KeyFinder):
        assert isinstance(tpm, capability)


@pytest.mark.parametrize("hash_", HASHES, ids=str)
def test_pkcs1v15_signatures(tpm: TpmProvider, rsa_key: KeyRecord, hash_: Hash) -> None:
    digest = os.urandom(hash_.size)

    signature = tpm.sign_hash(rsa_key, RsaPkcs1v15Sign(hash_), digest)

    scheme = utils.Prehashed(HASHES[hash_])
    rsa_public_key(rsa_key).verify(signature, digest, PKCS1, scheme)


@pytest.mark.parametrize("size", [0, 1, 20, 51, 245])
def test_raw_pkcs1v15_signatures(
    tpm: TpmProvider, rsa_key: KeyRecord, size: int
) -> None:
    octets = os.urandom(size)

    signature = tpm.sign_hash(rsa_key, RSA_PKCS1V15_SIGN_RAW, octets)

    # Not recover_data_from_signature: before cryptography 50 it refuses empty octets.
    numbers = rsa_public_key(rsa_key).public_numbers()
    recovered = pow(int.from_bytes(signature, "big"), numbers.e, numbers.n)
    padding_octets = b"\xff" * (len(signature) - 3 - size)  # RFC 8017, section 9.2.
    encoded = b"\x00\x01" + padding_octets + b"\x00" + octets
    assert encoded == recovered.to_bytes(len(signature), "big")


@pytest.mark.parametrize(
    "algorithm",
    [
        RsaPss(Hash.SHA_256),
        RsaPss(Hash.SHA_256, salt_length=0),
        RsaPss(Hash.SHA_256, salt_length=222),
        RsaPss(Hash.SHA_512, Hash.SHA_1, 20),
        RsaPss(Hash.SHA3_224, Hash.SHA_224, 11),
    ],
    ids=str,
)
def test_pss_signatures(
    tpm: TpmProvider, rsa_key: KeyRecord, algorithm: RsaPss
) -> None:
    assert isinstance(algorithm.hash, Hash)
    hash_, salt = algorithm.hash, algorithm.salt_length
    digest = os.urandom(hash_.size)

    signature = tpm.sign_hash(rsa_key, algorithm, digest)

    mgf = padding.MGF1(HASHES[algorithm.mgf_hash or hash_])
    pss = padding.PSS(mgf, hash_.size if salt is None else salt)
    scheme = utils.Prehashed(HASHES[hash_])
    rsa_public_key(rsa_key).verify(signature, digest, pss, scheme)


@pytest.mark.parametrize("bits", CURVES)
@pytest.mark.parametrize("hash_", HASHES, ids=str)
def test_ecdsa_signatures(
    tpm: TpmProvider, ec_keys: dict[int, KeyRecord], bits: int, hash_: Hash
) -> None:
    digest = os.urandom(hash_.size)

    signature = tpm.sign_hash(ec_keys[bits], Ecdsa(hash_), digest)

    verify_ecdsa(ec_keys[bits], signature, digest)


@pytest.mark.parametrize("bits", CURVES)
def test_ecdsa_of_digests_of_every_length(
    tpm: TpmProvider, ec_keys: dict[int, KeyRecord], bits: int
) -> None:
    for length in range(1, 65):
        digest = b"\x00" * (length % 2) + os.urandom(length - length % 2)

        signature = tpm.sign_hash(ec_keys[bits], ECDSA_ANY, digest)

        verify_ecdsa(ec_keys[bits], signature, digest)


@pytest.mark.parametrize("bits", [224, 256, 384])
def test_ecdsa_of_digests_longer_than_any_hash(
    tpm: TpmProvider, ec_keys: dict[int, KeyRecord], bits: int
) -> None:
    digest = os.urandom(100)

    signature = tpm.sign_hash(ec_keys[bits], ECDSA_ANY, digest)

    verify_ecdsa(ec_keys[bits], signature, digest)


@pytest.mark.parametrize("length", [65, 66, 100])
def test_p521_refuses_digests_longer_than_any_hash(
    tpm: TpmProvider, ec_keys: dict[int, KeyRecord], length: int
) -> None:
    with pytest.raises(NotSupported, match="shorter"):
        tpm.sign_hash(ec_keys[521], ECDSA_ANY, os.urandom(length))


def test_deterministic_ecdsa_is_refused(
    tpm: TpmProvider, ec_keys: dict[int, KeyRecord]
) -> None:
    algorithm = DeterministicEcdsa(Hash.SHA_256)

    with pytest.raises(NotSupported, match="nonce"):
        tpm.check_algorithm(ec_keys[256].attributes, algorithm)
    with pytest.raises(NotSupported, match="nonce"):
        tpm.sign_hash(ec_keys[256], algorithm, bytes(32))


@pytest.mark.parametrize("label", [b"", b"label", b"label\0", b"a\0b\0", b"\0", b"\0a"])
@pytest.mark.parametrize(
    "algorithm",
    [
        RsaOaep(Hash.SHA_1),
        RsaOaep(Hash.SHA_256),
        RsaOaep(Hash.SHA_256, Hash.SHA_1),
        RsaOaep(Hash.SHA_224),
    ],
    ids=str,
)
def test_oaep(
    tpm: TpmProvider, rsa_key: KeyRecord, algorithm: RsaOaep, label: bytes
) -> None:
    mgf = padding.MGF1(HASHES[algorithm.mgf_hash or algorithm.hash])
    oaep = padding.OAEP(mgf, HASHES[algorithm.hash], label)
    for message in (b"", b"message", os.urandom(100)):
        ciphertext = rsa_public_key(rsa_key).encrypt(message, oaep)

        assert message == tpm.asymmetric_decrypt(rsa_key, algorithm, ciphertext, label)


@pytest.mark.parametrize("hash_", [Hash.SHA_256, Hash.SHA_224], ids=str)
@pytest.mark.parametrize("label", [b"", b"label"])
def test_bad_oaep_is_one_error(
    tpm: TpmProvider, rsa_key: KeyRecord, hash_: Hash, label: bytes
) -> None:
    modulus = rsa_public_key(rsa_key).public_numbers().n
    bad = [os.urandom(255).rjust(256, b"\0") for _ in range(20)]
    bad += [n.to_bytes(256, "big") for n in (0, 1, modulus - 1, modulus, modulus + 1)]
    other = padding.OAEP(padding.MGF1(HASHES[hash_]), HASHES[hash_], b"other label")
    bad.append(rsa_public_key(rsa_key).encrypt(b"message", other))
    for ciphertext in bad:
        with pytest.raises(DecryptionFailed, match=r"^Decryption failed$") as caught:
            tpm.asymmetric_decrypt(rsa_key, RsaOaep(hash_), ciphertext, label)
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_pkcs1v15_decryption(tpm: TpmProvider, rsa_key: KeyRecord) -> None:
    for message in (b"", b"message", os.urandom(245)):
        ciphertext = rsa_public_key(rsa_key).encrypt(message, PKCS1)

        assert message == tpm.asymmetric_decrypt(
            rsa_key, RSA_PKCS1V15_CRYPT, ciphertext, b""
        )


def test_pkcs1v15_garbage_is_rejected_implicitly(
    tpm: TpmProvider, rsa_key: KeyRecord
) -> None:
    garbage = os.urandom(255).rjust(256, b"\0")

    def decrypted() -> bytes:
        return tpm.asymmetric_decrypt(rsa_key, RSA_PKCS1V15_CRYPT, garbage, b"")

    first = decrypted()
    tpm.destroy_key(rsa_key.uid)  # What it remembers of the key is gone.

    assert len(first) <= 245
    assert first == decrypted()


@pytest.mark.parametrize("bits", CURVES)
def test_key_agreement(
    tpm: TpmProvider, ec_keys: dict[int, KeyRecord], bits: int
) -> None:
    peer = ec.generate_private_key(curve_of(ec_keys[bits].attributes))
    point = peer.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )

    secret = tpm.raw_key_agreement(ec_keys[bits], ECDH, point)

    assert peer.exchange(ec.ECDH(), ec_public_key(ec_keys[bits])) == secret


def test_an_imported_rsa_key(tpm: TpmProvider) -> None:
    native = rsa.generate_private_key(65537, 2048)
    key = imported(
        tpm,
        rsa_attributes(2048),
        encode_rsa_private_key(native.private_numbers()),
    )
    digest = os.urandom(32)

    signature = tpm.sign_hash(key, RsaPkcs1v15Sign(Hash.SHA_256), digest)

    assert native.public_key() == rsa_public_key(key)
    assert native.sign(digest, PKCS1, utils.Prehashed(SHA256)) == signature


@pytest.mark.parametrize("bits", CURVES)
@pytest.mark.parametrize("scalar", ["random", "one", "small"])
def test_an_imported_ec_key(tpm: TpmProvider, bits: int, scalar: str) -> None:
    attributes = ec_attributes(bits)
    curve = curve_of(attributes)
    native = {
        "random": lambda: ec.generate_private_key(curve),
        "one": lambda: ec.derive_private_key(1, curve),
        "small": lambda: ec.derive_private_key(0x1234, curve),
    }[scalar]()
    number = native.private_numbers().private_value
    data = number.to_bytes((bits + 7) // 8, "big")
    digest = os.urandom(32)

    key = imported(tpm, attributes, data)

    assert native.public_key() == ec_public_key(key)
    verify_ecdsa(key, tpm.sign_hash(key, Ecdsa(Hash.SHA_256), digest), digest)


@pytest.mark.parametrize(
    ("bits", "scalar"), [(256, 43), (256, 379), (384, 176), (384, 197), (521, 1)]
)
def test_coordinates_that_start_with_zeros(
    tpm: TpmProvider, bits: int, scalar: int
) -> None:
    attributes, length = ec_attributes(bits), (bits + 7) // 8

    key = imported(tpm, attributes, scalar.to_bytes(length, "big"))

    x, y = key.public_key[1 : 1 + length], key.public_key[1 + length :]
    assert x[0] * y[0] == 0
    wrapped = decode_key_id(key.key_id)
    assert isinstance(wrapped, LoadableKey)
    # A TPM may insist on coordinates as long as the field.
    for coordinate in (x, y):
        assert length.to_bytes(2, "big") + coordinate in wrapped.public


def test_imports_that_a_tpm_cannot_take(tpm: TpmProvider) -> None:
    exponent_3 = rsa.generate_private_key(3, 2048).private_numbers()

    with pytest.raises(NotSupported, match="exponent"):
        imported(tpm, rsa_attributes(2048), encode_rsa_private_key(exponent_3))


def test_rsa_primes_of_different_lengths_are_refused(tpm: TpmProvider) -> None:
    data = encode_rsa_private_key(_lopsided_key())

    with pytest.raises(NotSupported, match="primes"):
        imported(tpm, rsa_attributes(2048), data)


def test_keys_that_a_tpm_cannot_make(tpm: TpmProvider) -> None:
    for attributes in (
        rsa_attributes(512),
        rsa_attributes(16384),
        ec_attributes(256, EccFamily.SECP_K1),
        ec_attributes(512, EccFamily.BRAINPOOL_P_R1),
    ):
        with pytest.raises(NotSupported, match="this TPM"):
            tpm.check_key(attributes)
    with pytest.raises(NotSupported, match="exponent"):
        tpm.generate_key(os.urandom(16), rsa_attributes(2048), 3)


@pytest.mark.parametrize("bits", [1024, 3072])
def test_other_rsa_sizes(tpm: TpmProvider, bits: int) -> None:
    tpm.check_key(rsa_attributes(bits))
    digest = os.urandom(32)

    key = generated(tpm, rsa_attributes(bits))

    assert bits == rsa_public_key(key).key_size
    signature = tpm.sign_hash(key, RsaPss(Hash.SHA_256), digest)
    pss = padding.PSS(padding.MGF1(SHA256), 32)
    rsa_public_key(key).verify(signature, digest, pss, utils.Prehashed(SHA256))


def test_a_key_id_is_secret(tpm: TpmProvider, rsa_key: KeyRecord) -> None:
    attributes = ec_attributes(256)
    created = tpm.generate_key(os.urandom(16), attributes, 0x10001)
    record = recorded(os.urandom(16), attributes, created)

    for secret in (created.key_id, created.key_id[-32:], rsa_key.key_id[-32:]):
        for text in (repr(created), repr(record), repr(tpm)):
            assert repr(secret)[2:-1] not in text


def _lopsided_key() -> rsa.RSAPrivateNumbers:
    """An RSA key whose modulus is 2048 bits long, and its primes are not 1024."""
    while True:
        # The larger prime of a 2080-bit key with the smaller one of a 2016-bit key.
        large = rsa.generate_private_key(65537, 2080).private_numbers().p
        small = rsa.generate_private_key(65537, 2016).private_numbers().q
        modulus, phi = large * small, (large - 1) * (small - 1)
        if modulus.bit_length() == 2048:
            break
    d = pow(65537, -1, phi)
    return rsa.RSAPrivateNumbers(
        large,
        small,
        d,
        rsa.rsa_crt_dmp1(d, large),
        rsa.rsa_crt_dmq1(d, small),
        rsa.rsa_crt_iqmp(large, small),
        rsa.RSAPublicNumbers(65537, modulus),
    )
