"""What the Rust Parsec service 1.4.1 cannot do of the contract: the one list of it.

A test of a gap is expected to fail: where it passes, the gap is closed and its row
goes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

HARDWARE = "tpm|pkcs11"
NO_IMPORT = "its TPM and PKCS#11 providers take no private key from outside"
NO_P384 = "its software provider takes P-384 for no curve (a typo in rust-psa-crypto)"
NO_PSS = "its TPM and PKCS#11 providers have no PSS"
NO_ECDH = "its TPM and PKCS#11 providers have no key agreement"
NO_TRUNCATED = "its software provider has no SHA-512/224 and no SHA-512/256"


class Gap(NamedTuple):
    """``providers``, ``test`` and ``case`` are regular expressions of whole names."""

    providers: str
    test: str
    why: str
    case: str = ".*"


GAPS = (
    Gap(HARDWARE, "test_every_rsa_size_is_kept_or_refused", NO_IMPORT),
    Gap("pkcs11", "test_every_curve_is_kept_or_refused", NO_IMPORT, ".*SECP_R1.*"),
    Gap("tpm", "test_every_curve_is_kept_or_refused", NO_IMPORT, ".*SECP_R1.*"),
    Gap("pkcs11", "test_the_public_exponent_is_as_asked", NO_IMPORT),
    Gap(HARDWARE, "test_export_is_a_matter_of_policy", NO_IMPORT),
    Gap("tpm", "test_a_name_is_taken_once", NO_IMPORT),
    Gap("software", "test_every_curve_is_kept_or_refused", NO_P384, ".*SECP_R1.*384.*"),
    Gap("software", "test_hardware_keeps_the_nist_curves", NO_P384),
    Gap(HARDWARE, "test_psa_leaves_no_choice_in_pss", NO_PSS),
    Gap(HARDWARE, "test_eight_threads", NO_PSS),
    Gap(HARDWARE, "test_usage_flags", NO_ECDH),
    Gap(HARDWARE, "test_one_hash", NO_ECDH),
    Gap("software", "test_sign", NO_TRUNCATED, ".*software-(pkcs1-)?sha512-2.*"),
    Gap("software", "test_sign_anything", NO_TRUNCATED),
    Gap(
        "software",
        "test_every_rsa_size_is_kept_or_refused",
        "it calls RSA of 3072 bits a wrong argument, not what it cannot do",
        ".*3072",
    ),
    Gap(
        "software",
        "test_deterministic_signature",
        "it makes keys for deterministic ECDSA and forbids them to sign",
        r".*-(md5|sha\d.*)",
    ),
    Gap(
        "software",
        "test_broken_pkcs1_padding_is_rejected_implicitly|test_pkcs1v15_says_nothing",
        "it tells broken padding apart: a padding oracle",
    ),
    Gap(
        HARDWARE,
        "test_one_oaep",
        "it calls a broken ciphertext a failure of the communication",
    ),
    Gap("tpm", "test_one_rsa_scheme", "its TPM has no policy with any hash"),
    Gap(
        ".*",
        "test_two_stores_do_not_see_each_other",
        "it tells applications apart by their user alone",
    ),
)

RACES = (
    Gap(
        "pkcs11",
        "test_many_threads_while_keys_come_and_go",
        "its PKCS#11 provider fails now and then to make a key while others use some "
        "(PSA_ERROR_COMMUNICATION_FAILURE)",
    ),
)
"""Gaps that a test runs into by chance, so that it says nothing."""


def lacks_twin(item: pytest.Function) -> bool:
    """Whether a test compares a key with one that the Rust service does not take."""
    parameters = item.callspec.params
    if not {"rsa_twins", "ec_twins"} & set(item.fixturenames):
        return False
    return (
        parameters.get("provider") != "software"
        or parameters.get("ec_twins") == "secp384r1"
    )


def gap_of(item: pytest.Function, gaps: tuple[Gap, ...] = GAPS) -> Gap | None:
    """The gap that a test of the Rust service runs into."""
    provider, case = item.callspec.params.get("provider", ""), item.callspec.id
    for gap in gaps:
        if (
            re.fullmatch(gap.providers, provider)
            and re.fullmatch(gap.test, item.function.__name__)
            and re.fullmatch(gap.case, case, re.DOTALL)
        ):
            return gap
    return None
