"""What our layers cost: each operation beside the same one without them.

Medians of interleaved runs on this machine; the ratio is what counts. Run it with
``./dev bench overhead``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from rich.console import Console
from rich.progress import track
from rich.table import Table

import parsec_keys
from parsec_keys.emulators import SoftHsm, Swtpm
from parsec_keys.psa.algorithms import Hash
from parsec_keys.service.rsa_padding import digest_info

MESSAGE = b"a message of thirty-two bytes..."
SHA256 = hashes.SHA256()
ECDSA = ec.ECDSA(SHA256)
PKCS1 = padding.PKCS1v15()


@dataclass(frozen=True)
class Comparison:
    """Two ways to the same result, and the ratio that ours may have at most."""

    title: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    limit: float
    runs: int


def software(folder: Path) -> Iterator[Comparison]:
    """The software provider beside pyca's own keys."""
    store = parsec_keys.open_store(f"software:{folder}")
    ecc, native = _ecdsa_signer(store), ec.generate_private_key(ec.SECP256R1())
    rsa_, native_rsa = _rsa_signer(store), rsa.generate_private_key(65537, 2048)
    yield Comparison(
        "software P-256: pyca's key",
        ecc,
        lambda: native.sign(MESSAGE, ECDSA),
        1.5,
        20_000,
    )
    yield Comparison(
        "software RSA-2048: pyca's key",
        rsa_,
        lambda: native_rsa.sign(MESSAGE, PKCS1, SHA256),
        1.05,
        3_000,
    )


def pkcs11(folder: Path) -> Iterator[Comparison]:
    """The PKCS#11 provider beside python-pkcs11 used directly, on SoftHSM."""
    from pkcs11 import KeyType, Mechanism, ObjectClass
    from pkcs11.util.ec import encode_ecdsa_signature

    softhsm = SoftHsm(folder)
    store = parsec_keys.open_store(softhsm.add_token("bench"))
    ecc, rsa_ = _ecdsa_signer(store), _rsa_signer(store)
    # The same module, initialised once in this process, with a session of its own.
    from parsec_keys.service.providers.pkcs11._module import load

    token = load(softhsm.module).library.get_token(token_label="bench")
    session = token.open()
    direct = {
        kind: session.get_key(object_class=ObjectClass.PRIVATE_KEY, key_type=kind)
        for kind in (KeyType.EC, KeyType.RSA)
    }

    def direct_ecdsa() -> bytes:
        signature = direct[KeyType.EC].sign(_digest(), mechanism=Mechanism.ECDSA)
        return bytes(encode_ecdsa_signature(signature))

    def direct_rsa() -> bytes:
        octets = digest_info(Hash.SHA_256, _digest())
        return bytes(direct[KeyType.RSA].sign(octets, mechanism=Mechanism.RSA_PKCS))

    yield Comparison("PKCS#11 P-256: python-pkcs11", ecc, direct_ecdsa, 1.25, 10_000)
    yield Comparison("PKCS#11 RSA-2048: python-pkcs11", rsa_, direct_rsa, 1.25, 2_000)


def tpm(folder: Path) -> Iterator[Comparison]:
    """The TPM provider beside ESAPI with a loaded key, on swtpm."""
    for protected, title in ((False, "ESAPI"), (True, "ESAPI, salted session")):
        with (
            Swtpm(folder / f"a{protected}") as ours,
            Swtpm(folder / f"b{protected}") as theirs,
        ):
            (folder / "tpm.toml").write_text(
                f'store = "keys-{protected}"\n[[provider]]\nprovider_type = "Tpm"\n'
                f'tcti = "{ours.tcti}"\nprotect_bus = {str(protected).lower()}\n'
            )
            with parsec_keys.open_store(str(folder / "tpm.toml")) as store:
                ecc, rsa_ = _ecdsa_signer(store), _rsa_signer(store)
                direct = _esapi(theirs.tcti, "ecc256", protected)
                yield Comparison(f"TPM P-256: {title}", ecc, direct, 1.10, 1_000)
                direct = _esapi(theirs.tcti, "rsa2048", protected)
                yield Comparison(f"TPM RSA-2048: {title}", rsa_, direct, 1.10, 500)


def _esapi(tcti: str, template: str, protected: bool) -> Callable[[], object]:
    from tpm2_pytss import (
        ESAPI,
        ESYS_TR,
        TPM2_ALG,
        TPM2_RH,
        TPM2_SE,
        TPM2_ST,
        TPM2B_SENSITIVE_CREATE,
        TPMT_SIG_SCHEME,
        TPMT_TK_HASHCHECK,
    )

    esapi = ESAPI(tcti)
    primary = esapi.create_primary(None, "ecc")[0]
    made = esapi.create(primary, TPM2B_SENSITIVE_CREATE(), template)
    key = esapi.load(primary, made[0], made[1])
    session = ESYS_TR.PASSWORD
    if protected:
        session = esapi.start_auth_session(
            *(primary, ESYS_TR.NONE, TPM2_SE.HMAC, "aes128cfb", TPM2_ALG.SHA256)
        )
    esapi.flush_context(primary)
    is_rsa = template.startswith("rsa")
    scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.RSASSA if is_rsa else TPM2_ALG.ECDSA)
    scheme.details.any.hashAlg = TPM2_ALG.SHA256
    ticket = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)

    def sign() -> bytes:
        signature = esapi.sign(key, _digest(), scheme, ticket, session1=session)
        return bytes(signature)

    return sign


def _ecdsa_signer(store: parsec_keys.KeyStore) -> Callable[[], object]:
    key = store.generate_ec("ec", ec.SECP256R1())
    return lambda: key.sign(MESSAGE, ECDSA)


def _rsa_signer(store: parsec_keys.KeyStore) -> Callable[[], object]:
    key = store.generate_rsa("rsa")
    return lambda: key.sign(MESSAGE, PKCS1, SHA256)


def _digest() -> bytes:
    context = hashes.Hash(SHA256)
    context.update(MESSAGE)
    return context.finalize()


def medians(comparison: Comparison) -> tuple[float, float]:
    """Medians in seconds of both sides, run in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    sides = (comparison.ours, comparison.theirs)
    for run in track(
        range(comparison.runs), comparison.title, console=Console(stderr=True)
    ):
        # Whoever goes second finds warm caches: they take turns at that too.
        for side in (0, 1) if run % 2 else (1, 0):
            start = time.perf_counter()
            sides[side]()
            times[side].append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def import_seconds(statement: str) -> float:
    """The median time of an import after that of pyca's rsa module."""
    code = (
        "import time, cryptography.hazmat.primitives.asymmetric.rsa\n"
        f"start = time.perf_counter()\n{statement}\nprint(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    return statistics.median(
        float(subprocess.run(command, capture_output=True, check=True).stdout)
        for _ in range(15)
    )


def main() -> int:
    """Print the table; 1 if a ratio is above its limit."""
    table = Table("operation: beside", "ours", "theirs", "ratio", "limit")
    failed = False
    for measure in (software, pkcs11, tpm):
        with tempfile.TemporaryDirectory() as folder:
            for comparison in measure(Path(folder)):
                comparison.ours()
                comparison.theirs()
                ours, theirs = medians(comparison)
                ratio = ours / theirs
                failed = failed or ratio > comparison.limit
                cells = (f"{1e6 * ours:.1f} µs", f"{1e6 * theirs:.1f} µs")
                table.add_row(
                    *(comparison.title, *cells),
                    *(f"{ratio:.2f}", f"{comparison.limit:.2f}"),
                )
    Console().print(table)
    added = import_seconds("import parsec_keys")
    whole = import_seconds("import parsec_keys; parsec_keys.open_store")
    failed = failed or added > 0.020
    print(f"import parsec_keys adds {1000 * added:.1f} ms (limit 20 ms)")
    print(f"with open_store loaded, on first use: {1000 * whole:.1f} ms")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
