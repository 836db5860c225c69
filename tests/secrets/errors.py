"""All that an exception and those behind it say to whoever looks at them."""

from __future__ import annotations

import traceback


def all_said_by(error: BaseException, *, locals_too: bool = False) -> str:
    """Texts, arguments and attributes, of what is hidden from a traceback too."""
    whole = traceback.TracebackException.from_exception(
        error, capture_locals=locals_too
    )
    said = [*whole.format()]
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        attributes = {
            name: getattr(each, name, None)
            for name in dir(each)
            if not name.startswith("__")
        }
        said += [repr(each), str(each), repr(each.args), repr(attributes)]
        waiting += [each.__cause__, each.__context__]
    return "\n".join(said)
