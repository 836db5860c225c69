"""What each Python below ``parsec-keys run`` does before its program's first line.

It registers our OpenSSL provider after the import of a module that brings a libcrypto,
and never for a program that imports none: that costs a tenth of a second.

Rule: nothing here may fail, speak or stay in the way. It may be a Python without this
package, and it may have a ``sitecustomize`` of its own.
"""

from __future__ import annotations

import _thread
import os
import sys

TYPE_CHECKING = False  # typing is not imported by every program.
if TYPE_CHECKING:
    from typing import Any

_LIBCRYPTO_IN = (
    "ssl",
    "cryptography.hazmat.bindings._rust",
    "psycopg.pq",
    "psycopg2._psycopg",
)
_PACKAGE = "parsec_keys"
_enabling = _thread.allocate_lock()
_loading: list[object] = []
"""What is being loaded now, of these modules and our own, in any thread."""
_brought: list[str] = []
"""Modules that brought a libcrypto."""


class _Finder:
    """Finds these modules, and our own, as the other finders do."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in _LIBCRYPTO_IN and name.partition(".")[0] != _PACKAGE:
            return None
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec: Any = finder.find_spec(name, path, target)
                if spec is not None:
                    if spec.loader is not None:
                        spec.loader = _Loader(spec.loader)
                    return spec
        return None


class _Loader:
    """Loads a module as its own loader does, and enables TLS if it is time to.

    A program may import our own modules, which import these: not before ours are whole.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        # Whoever asks a module for its loader gets its own.
        module.__spec__.loader = module.__loader__ = self._loader
        _loading.append(self)
        try:
            self._loader.exec_module(module)
        finally:
            _loading.remove(self)
        if module.__name__ in _LIBCRYPTO_IN:
            _brought.append(module.__name__)
        if _brought and not _loading:
            _enable()


def _enable() -> None:
    # Who enables imports such modules too. Another thread that does must not be waited
    # for: it may wait for the import that this is part of, and then sees its libcrypto.
    if not _enabling.acquire(False):
        return
    try:
        from parsec_keys.tls import enable

        enable()
        _brought.clear()
    except Exception as e:
        if getattr(e, "name", None) != _PACKAGE:
            import logging

            logging.getLogger("parsec_keys.tls").error(
                "no key reference works in this process: %s", e
            )
    finally:
        _enabling.release()


def _import_hidden() -> None:
    """Import the ``sitecustomize`` that this one hides, as ``site`` would."""
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [each for each in sys.path if os.path.abspath(each) != folder]
    this = sys.modules.pop(__name__)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as e:
        if e.name != __name__:
            raise
    finally:
        sys.modules.setdefault(__name__, this)


sys.meta_path.insert(0, _Finder())
if any(name in sys.modules for name in _LIBCRYPTO_IN):
    _enable()
_import_hidden()
