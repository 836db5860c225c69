"""A service of each provider, and an application of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from parsec_keys.errors import NotSupported
from parsec_keys.service import Service
from parsec_keys.uri import EmbeddedStore, parse_store_url
from tests.service.operations.caller import Caller
from tests.want import missing


def open_service(url: str) -> Service:
    store = parse_store_url(url)
    assert isinstance(store, EmbeddedStore)
    return Service(store.config)


@pytest.fixture(scope="session")
def service(provider: str, new_url: Callable[[str], str]) -> Iterator[Service]:
    try:
        opened = open_service(new_url(provider))
    except NotSupported as e:
        missing(provider, str(e))
    yield opened
    opened.close()


@pytest.fixture
def caller(request: pytest.FixtureRequest, provider: str, service: Service) -> Caller:
    return Caller(service, request.node.nodeid, provider)


@pytest.fixture(scope="session")
def software_service(new_url: Callable[[str], str]) -> Iterator[Service]:
    opened = open_service(new_url("software"))
    yield opened
    opened.close()


@pytest.fixture
def software(request: pytest.FixtureRequest, software_service: Service) -> Caller:
    return Caller(software_service, request.node.nodeid, "software")
