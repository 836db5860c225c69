"""Where the keys of a Rust Parsec service are, by its configuration and by paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parsec_keys.errors import ConfigurationError
from parsec_keys.service.authenticators import AuthenticatorType
from parsec_keys.service.config_daemon import read_auth_type
from parsec_keys.service.config_toml import RustKeyInfo, read_rust_key_info

_HOME: Final = Path("/var/lib/parsec")
"""Where a packaged Rust service runs."""
_AUTHENTICATORS: Final = {
    "Direct": AuthenticatorType.DIRECT,
    "UnixPeerCredentials": AuthenticatorType.UNIX_PEER_CREDENTIALS,
    "JwtSvid": AuthenticatorType.JWT_SVID,
}


@dataclass(frozen=True, slots=True)
class Source:
    """An old store; ``key_files`` is the folder where its service ran.

    Whose keys are, a store in files does not say: they are ``authenticator``'s.
    """

    key_info: RustKeyInfo
    authenticator: AuthenticatorType
    key_files: Path


def find_source(
    config: Path, key_info: Path | None = None, key_files: Path | None = None
) -> Source:
    """The old store that a configuration file names, or that is at ``key_info``.

    Raises:
        ConfigurationError: neither says where it is.
    """
    store = read_rust_key_info(config)
    if key_info is not None:
        store = RustKeyInfo(not key_info.is_dir(), key_info)
    if store is None:
        raise ConfigurationError(
            f"{config} names no key info of the Rust Parsec service: give its own "
            "config.toml, or say where its key info is"
        )
    folders = (config.parent, _HOME)
    with_keys = (each for each in folders if next(each.glob("*.psa_its"), None))
    return Source(
        store,
        _AUTHENTICATORS[read_auth_type(config)],
        key_files or next(with_keys, _HOME),
    )
