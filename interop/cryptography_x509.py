# /// script
# requires-python = ">=3.11"
# dependencies = ["cryptography"]
# ///
"""cryptography signs CSRs, certificates with PSS, CRLs and OCSP responses."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp

from interop._keys import Key, certificate, run

NOW = datetime.datetime.now(datetime.UTC)
TOMORROW = NOW + datetime.timedelta(days=1)
SHA256, SHA384 = hashes.SHA256(), hashes.SHA384()


def prove(key: Key, tmp: Path) -> None:
    pss = None
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(SHA384), padding.PSS.DIGEST_LENGTH)
    name = x509.Name.from_rfc4514_string("CN=device")
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    assert request.sign(key, SHA256).is_signature_valid
    assert request.sign(key, SHA384, rsa_padding=pss).is_signature_valid

    issuer = certificate(key)
    issued = (
        x509.CertificateBuilder(issuer.subject, name, key.public_key(), 7)
        .not_valid_before(NOW)
        .not_valid_after(TOMORROW)
        .sign(key, SHA384, rsa_padding=pss)
    )
    issued.verify_directly_issued_by(issuer)

    revocations = x509.CertificateRevocationListBuilder(issuer.subject, NOW, TOMORROW)
    crl = revocations.sign(key, SHA256)
    assert crl.is_signature_valid(key.public_key())

    builder = ocsp.OCSPResponseBuilder().add_response(
        *(issued, issuer, SHA256, ocsp.OCSPCertStatus.GOOD, NOW, TOMORROW),
        *(None, None),
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer)
    response = builder.sign(key, SHA256)
    scheme = (ec.ECDSA(SHA256),) if pss is None else (padding.PKCS1v15(), SHA256)
    verify: Any = key.public_key().verify
    verify(response.signature, response.tbs_response_bytes, *scheme)


if __name__ == "__main__":
    run(prove)
