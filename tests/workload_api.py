"""A SPIFFE agent for tests: the Workload API over gRPC, with a trust domain of its own.

It gives JWT-SVIDs to one workload a socket, signed by its key, and validates those that
its bundle verifies (SPIFFE Workload API, section 6).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.struct_pb2 import Struct
from spiffe._proto import workload_pb2, workload_pb2_grpc

TRUST_DOMAIN = "spiffe://example.org"
KEY_ID = "authority"


class Agent(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    """A context manager: the agent of one workload runs inside it."""

    def __init__(
        self, socket: Path, workload: str, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self.endpoint = f"unix://{socket}"
        self.spiffe_id = f"{TRUST_DOMAIN}/{workload}"
        self.asked = 0
        self._key = key
        self._server = grpc.server(ThreadPoolExecutor(2))
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(self, self._server)
        self._server.add_insecure_port(self.endpoint)

    def token(
        self,
        audience: list[str],
        seconds: float = 300,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> str:
        """A JWT-SVID of the workload, signed by the trust domain or another key."""
        claims = {
            "sub": self.spiffe_id,
            "aud": audience,
            "exp": int(time.time() + seconds),
        }
        return jwt.encode(claims, key or self._key, "ES256", {"kid": KEY_ID})

    # The names of these methods are the Workload API's.

    def FetchJWTSVID(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._check_header(context)
        self.asked += 1
        svid = workload_pb2.JWTSVID(
            spiffe_id=self.spiffe_id, svid=self.token(list(request.audience))
        )
        return workload_pb2.JWTSVIDResponse(svids=[svid])

    def FetchJWTBundles(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Iterator[Any]:
        self._check_header(context)
        bundle = json.dumps({"keys": [self._jwk()]}).encode()
        yield workload_pb2.JWTBundlesResponse(bundles={TRUST_DOMAIN: bundle})

    def ValidateJWTSVID(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._check_header(context)
        try:
            key = jwt.PyJWK(self._jwk())
            claims = jwt.decode(request.svid, key, ["ES256"], audience=request.audience)
        except jwt.PyJWTError as e:
            # As an agent may, it says what it got.
            why = f"{e}: {request.svid}"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, why)
        fields = Struct()
        fields.update(claims)
        return workload_pb2.ValidateJWTSVIDResponse(
            spiffe_id=claims["sub"], claims=fields
        )

    def _jwk(self) -> dict[str, Any]:
        algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
        jwk = algorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {**jwk, "kid": KEY_ID, "use": "jwt-svid"}

    def _check_header(self, context: grpc.ServicerContext) -> None:
        # Without it a browser could be made to ask (section 4 of the specification).
        if ("workload.spiffe.io", "true") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the header is missing")

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop(0).wait()
