"""Key pairs of every provider, each result given to pyca, each of pyca's to us."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    padding,
    rsa,
    utils,
    x448,
    x25519,
)

from parsec_keys.psa import algorithms as a
from parsec_keys.psa.attributes import EccFamily, EccKeyPair, RsaKeyPair
from parsec_keys.psa.operations import (
    PsaAsymmetricDecrypt,
    PsaAsymmetricEncrypt,
    PsaExportKey,
    PsaExportPublicKey,
    PsaGenerateKey,
    PsaGenerateRandom,
    PsaRawKeyAgreement,
    PsaSignHash,
    PsaVerifyHash,
)
from parsec_keys.psa.operations.symmetric import PsaSignMessage, PsaVerifyMessage
from parsec_keys.psa.status import Status
from tests.service.operations.caller import EVERYTHING, Caller, attributes
from tests.service.operations.keys import (
    ECC,
    NATIVE,
    PAIR,
    RSA,
    SHA256,
    ecc_private,
    ecc_public,
    flipped,
    from_der,
    pss,
    rsa_private,
    rsa_public,
    to_der,
)

MESSAGE = b"a message"
MONTGOMERY = EccKeyPair(EccFamily.MONTGOMERY)
RSA_SCHEMES = [
    a.RsaPkcs1v15Sign(SHA256),
    a.RsaPkcs1v15Sign(a.Hash.SHA3_256),
    a.RsaPss(SHA256),
    a.RsaPss(a.Hash.SHA_512),
]


def digest(hash_: a.Hash, message: bytes) -> bytes:
    context = hashes.Hash(NATIVE[hash_])
    context.update(message)
    return context.finalize()


def native_padding(
    algorithm: a.RsaPkcs1v15Sign | a.RsaPss,
) -> padding.AsymmetricPadding:
    assert isinstance(algorithm.hash, a.Hash)
    if isinstance(algorithm, a.RsaPss):
        return pss(NATIVE[algorithm.hash], algorithm.hash.size)
    return padding.PKCS1v15()


@pytest.mark.parametrize("algorithm", RSA_SCHEMES, ids=str)
def test_rsa_signatures(
    caller: Caller, algorithm: a.RsaPkcs1v15Sign | a.RsaPss
) -> None:
    assert isinstance(algorithm.hash, a.Hash)
    name = caller.take(RsaKeyPair(), rsa_private(RSA), algorithm)
    hash_, hashed = NATIVE[algorithm.hash], digest(algorithm.hash, MESSAGE)
    scheme = native_padding(algorithm)

    for signature in (
        caller.do(PsaSignHash(name, algorithm, hashed)),
        caller.do(PsaSignMessage(name, algorithm, MESSAGE)),
    ):
        RSA.public_key().verify(signature, MESSAGE, scheme, hash_)
    signature = RSA.sign(MESSAGE, scheme, hash_)
    assert caller.do(PsaVerifyHash(name, algorithm, hashed, signature)) is None
    assert caller.do(PsaVerifyMessage(name, algorithm, MESSAGE, signature)) is None
    for wrong in (flipped(signature), signature[:-1], b"", signature + b"\0"):
        for verify in (
            PsaVerifyHash(name, algorithm, hashed, wrong),
            PsaVerifyMessage(name, algorithm, MESSAGE, wrong),
            PsaVerifyMessage(name, algorithm, MESSAGE + b"?", signature),
        ):
            assert caller.status(verify) is Status.PSA_ERROR_INVALID_SIGNATURE


@pytest.mark.parametrize("salt_length", [0, 20, 64, 222])
def test_pss_takes_no_other_salt(caller: Caller, salt_length: int) -> None:
    algorithm = a.RsaPss(SHA256)
    name = caller.take(RsaKeyPair(), rsa_private(RSA), algorithm)
    signature = RSA.sign(MESSAGE, pss(hashes.SHA256(), salt_length), hashes.SHA256())

    verify = PsaVerifyMessage(name, algorithm, MESSAGE, signature)

    assert caller.status(verify) is Status.PSA_ERROR_INVALID_SIGNATURE


def test_raw_octets_are_signed_without_a_digest_info(caller: Caller) -> None:
    algorithm, octets = a.RsaPkcs1v15SignRaw(), b"any octets at all"
    name = caller.take(RsaKeyPair(), rsa_private(RSA), algorithm)

    signature = caller.do(PsaSignHash(name, algorithm, octets))

    RSA.public_key().verify(signature, octets, padding.PKCS1v15(), utils.NoDigestInfo())
    assert caller.do(PsaVerifyHash(name, algorithm, octets, signature)) is None
    other = PsaVerifyHash(name, algorithm, octets + b"?", signature)
    assert caller.status(other) is Status.PSA_ERROR_INVALID_SIGNATURE


@pytest.mark.parametrize("bits", ECC)
@pytest.mark.parametrize("hash_", [a.Hash.SHA_256, a.Hash.SHA_512], ids=str)
def test_ecdsa(caller: Caller, bits: int, hash_: a.Hash) -> None:
    algorithm, key = a.Ecdsa(hash_), ECC[bits]
    name = caller.take(PAIR, ecc_private(key), a.Ecdsa(a.ANY_HASH))
    hashed, native = digest(hash_, MESSAGE), ec.ECDSA(NATIVE[hash_])
    assert caller.attributes(name).bits == bits

    for signature in (
        caller.do(PsaSignHash(name, algorithm, hashed)),
        caller.do(PsaSignMessage(name, algorithm, MESSAGE)),
    ):
        assert len(signature) == 2 * ((bits + 7) // 8)
        key.public_key().verify(to_der(signature), MESSAGE, native)
    der = key.sign(MESSAGE, native)
    signature = from_der(der, bits)
    assert caller.do(PsaVerifyHash(name, algorithm, hashed, signature)) is None
    assert caller.do(PsaVerifyMessage(name, algorithm, MESSAGE, signature)) is None
    for wrong in (der, signature[:-1], b"", bytes(len(signature)), signature[::-1]):
        verify = PsaVerifyHash(name, algorithm, hashed, wrong)
        assert caller.status(verify) is Status.PSA_ERROR_INVALID_SIGNATURE


def test_generated_keys_sign(caller: Caller) -> None:
    name = caller.generate(PAIR, 384, a.EcdsaAny())
    public = ec.EllipticCurvePublicKey.from_encoded_point(
        ec.SECP384R1(), caller.do(PsaExportPublicKey(name))
    )

    signature = caller.do(PsaSignHash(name, a.EcdsaAny(), digest(SHA256, MESSAGE)))

    public.verify(to_der(signature), MESSAGE, ec.ECDSA(hashes.SHA256()))


def test_deterministic_ecdsa(software: Caller) -> None:
    # RFC 6979, appendix A.2.5: the message "sample" with SHA-256.
    algorithm = a.DeterministicEcdsa(SHA256)
    data = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"
    name = software.take(PAIR, bytes.fromhex(data), algorithm)

    signature = software.do(PsaSignMessage(name, algorithm, b"sample"))

    assert signature.hex() == (
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )
    assert software.do(PsaVerifyMessage(name, algorithm, b"sample", signature)) is None


@pytest.mark.parametrize(
    ("algorithm", "label", "scheme"),
    [
        (a.RsaPkcs1v15Crypt(), b"", padding.PKCS1v15()),
        (
            *(a.RsaOaep(SHA256), b""),
            padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
        ),
        (
            *(a.RsaOaep(a.Hash.SHA_512), b"a label"),
            padding.OAEP(padding.MGF1(hashes.SHA512()), hashes.SHA512(), b"a label"),
        ),
    ],
    ids=["pkcs1", "oaep", "oaep-label"],
)
def test_encryption(
    caller: Caller,
    algorithm: a.AsymmetricEncryption,
    label: bytes,
    scheme: padding.AsymmetricPadding,
) -> None:
    name = caller.take(RsaKeyPair(), rsa_private(RSA), algorithm)

    encrypted = caller.do(PsaAsymmetricEncrypt(name, algorithm, MESSAGE, label))
    native = RSA.public_key().encrypt(MESSAGE, scheme)

    assert RSA.decrypt(encrypted, scheme) == MESSAGE
    for ciphertext in (encrypted, native):
        decrypt = PsaAsymmetricDecrypt(name, algorithm, ciphertext, label)
        assert caller.do(decrypt) == MESSAGE


CURVES = [
    ec.SECP256R1(),
    ec.SECP384R1(),
    ec.SECP521R1(),
    ec.SECP256K1(),
    ec.BrainpoolP256R1(),
    ec.BrainpoolP512R1(),
]
FAMILIES = {
    "secp256k1": EccFamily.SECP_K1,
    "brainpoolP256r1": EccFamily.BRAINPOOL_P_R1,
    "brainpoolP512r1": EccFamily.BRAINPOOL_P_R1,
}


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_key_agreement(caller: Caller, curve: ec.EllipticCurve) -> None:
    peer = ec.generate_private_key(curve)
    key_type = EccKeyPair(FAMILIES.get(curve.name, EccFamily.SECP_R1))
    if caller.provider == "tpm" and curve.name in FAMILIES:
        wanted = attributes(key_type, curve.key_size, a.ECDH)
        generate = PsaGenerateKey("key", wanted)
        assert caller.status(generate) is Status.PSA_ERROR_NOT_SUPPORTED
        return
    name = caller.generate(key_type, curve.key_size, a.ECDH)
    public = ec.EllipticCurvePublicKey.from_encoded_point(
        curve, caller.do(PsaExportPublicKey(name))
    )

    agree = PsaRawKeyAgreement(name, a.ECDH, ecc_public(peer.public_key()))

    assert caller.do(agree) == peer.exchange(ec.ECDH(), public)


def test_key_agreement_of_the_standard(caller: Caller) -> None:
    # RFC 5903, section 8.1: the 256-bit random ECP group.
    data = "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433"
    peer = (
        "04"
        "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
        "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab"
    )
    name = caller.take(PAIR, bytes.fromhex(data), a.ECDH)

    shared = caller.do(PsaRawKeyAgreement(name, a.ECDH, bytes.fromhex(peer)))

    assert shared.hex() == (
        "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"
    )


def test_peers_that_are_no_key_of_the_curve(caller: Caller) -> None:
    peer = ECC[256].public_key()
    point = ecc_public(peer)
    name = caller.take(PAIR, ecc_private(ECC[256]), a.ECDH)
    compressed = bytes([2 + (point[-1] & 1)]) + point[1:33]
    off_the_curve = point[:-1] + bytes([point[-1] ^ 1])

    for wrong in (b"", compressed, off_the_curve, point[1:], point + b"\0", bytes(65)):
        agree = PsaRawKeyAgreement(name, a.ECDH, wrong)
        assert caller.status(agree) is Status.PSA_ERROR_INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("mine", "public", "peer", "shared"),
    [
        # RFC 7748, sections 6.1 and 6.2: Alice's keys, Bob's public key, their secret.
        (
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
        ),
        (
            "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28d"
            "d9c9baf574a9419744897391006382a6f127ab1d9ac2d8c0a598726b",
            "9b08f7cc31b7e3e67d22d5aea121074a273bd2b83de09c63faa73d2c"
            "22c5d9bbc836647241d953d40c5b12da88120d53177f80e532c41fa0",
            "3eb7a829b0cd20f5bcfc0b599b6feccf6da4627107bdb0d4f345b430"
            "27d8b972fc3e34fb4232a13ca706dcb57aec3dae07bdc1c67bf33609",
            "07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282b"
            "b60c0b56fd2464c335543936521c24403085d59a449a5037514a879d",
        ),
    ],
    ids=["X25519", "X448"],
)
def test_montgomery_curves_of_the_standard(
    software: Caller, mine: str, public: str, peer: str, shared: str
) -> None:
    name = software.take(MONTGOMERY, bytes.fromhex(mine), a.ECDH)

    agree = PsaRawKeyAgreement(name, a.ECDH, bytes.fromhex(peer))

    assert software.do(PsaExportPublicKey(name)).hex() == public
    assert software.do(agree).hex() == shared


@pytest.mark.parametrize(
    ("bits", "native"), [(255, x25519.X25519PrivateKey), (448, x448.X448PrivateKey)]
)
def test_montgomery_curves(
    software: Caller,
    bits: int,
    native: type[x25519.X25519PrivateKey] | type[x448.X448PrivateKey],
) -> None:
    peer = native.generate()
    made = software.generate(MONTGOMERY, bits, a.ECDH, EVERYTHING)
    taken = software.take(
        MONTGOMERY, software.do(PsaExportKey(made)), a.ECDH, EVERYTHING
    )
    public = software.do(PsaExportPublicKey(made))

    for name in (made, taken):
        agree = PsaRawKeyAgreement(name, a.ECDH, peer.public_key().public_bytes_raw())
        shared = software.do(agree)
        assert software.attributes(name).bits == bits
        assert software.do(PsaExportPublicKey(name)) == public
        assert shared == native.from_private_bytes(
            software.do(PsaExportKey(name))
        ).exchange(peer.public_key())
    for wrong in (b"", bytes(len(public)), bytes(len(public) - 1)):
        agree = PsaRawKeyAgreement(made, a.ECDH, wrong)
        assert software.status(agree) is Status.PSA_ERROR_INVALID_ARGUMENT


@pytest.mark.parametrize("size", [0, 1, 32, 33, 64, 65, 1000, 4097])
def test_random_has_exactly_the_size(caller: Caller, size: int) -> None:
    first, second = (caller.do(PsaGenerateRandom(size)) for _ in "12")

    assert len(first) == len(second) == size
    assert first != second or size < 32


def test_exported_keys_are_the_generated_ones(caller: Caller) -> None:
    if caller.provider == "tpm":
        wanted = attributes(PAIR, 521, a.Ecdsa(SHA256), EVERYTHING)
        generate = PsaGenerateKey("key", wanted)
        assert caller.status(generate) is Status.PSA_ERROR_NOT_PERMITTED
        return
    curve = caller.generate(PAIR, 521, a.Ecdsa(SHA256), EVERYTHING)
    modulus = caller.generate(RsaKeyPair(), 2048, a.RsaPss(SHA256), EVERYTHING)

    scalar = int.from_bytes(caller.do(PsaExportKey(curve)), "big")
    key = ec.derive_private_key(scalar, ec.SECP521R1())
    assert ecc_public(key.public_key()) == caller.do(PsaExportPublicKey(curve))
    data = caller.do(PsaExportKey(modulus))
    again = caller.take(RsaKeyPair(), data, a.RsaPss(SHA256))
    assert caller.do(PsaExportPublicKey(again)) == caller.do(
        PsaExportPublicKey(modulus)
    )
    assert rsa_public(rsa_key(data).public_key()) == caller.do(
        PsaExportPublicKey(modulus)
    )


def rsa_key(data: bytes) -> rsa.RSAPrivateKey:
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    key = load_der_private_key(data, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key
