"""What a run of the suite leaves in the hardware that its tests share: nothing."""

from __future__ import annotations

import contextlib
import gc

from parsec_keys import stores
from parsec_keys.emulators import SoftHsm, Swtpm
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.providers.tpm import TpmProvider, _tss
from tests.service.providers.raw_module import INITIALIZED, RawModule
from tests.service.providers.tpm_keys import handles, lockout_counter


def check_tpm(swtpm: Swtpm) -> None:
    """Pass if no object and no session is left, and nothing counted as an attack."""
    _close_stores()
    # What a killed program left, the next one flushes.
    TpmProvider.open(TpmConfig(swtpm.tcti)).close()
    with contextlib.closing(_tss.ESAPI(swtpm.tcti)) as esapi:
        assert handles(esapi) == []
        assert lockout_counter(esapi) == 0


def check_tokens(softhsm: SoftHsm) -> None:
    """Pass if this process has no session with any token: the last one logs out."""
    _close_stores()
    module = RawModule(softhsm.module)
    module.initialize()
    tokens = [s for s in module.slots() if module.state(s).flags & INITIALIZED]
    sessions = [module.open_session(token) for token in tokens]
    assert [each for each in sessions if module.is_logged_in(each)] == []


def _close_stores() -> None:
    """Close what this process would keep open as long as it runs."""
    opened = [engine for engines in stores._opened.values() for engine in engines]
    for engine in (*opened, *stores._kept, *stores._services.values()):
        engine.close()
    gc.collect()
