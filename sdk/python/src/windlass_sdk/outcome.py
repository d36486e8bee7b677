"""How an operation that goes on says so, and what wakes it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Optional, Union

from . import schema
from .failure import Failure, milliseconds


@dataclass
class Suspension:
    """A wait: what to remember, what ends it, what people read meanwhile."""

    state: Any
    #: Pairs of ``after`` or ``at`` with milliseconds, and of ``callback`` with a topic.
    wakes: list[tuple[str, Any]]
    status: str


def suspend(
    state: Any = None,
    *,
    status: str,
    after: Union[timedelta, float, None] = None,
    at: Optional[datetime] = None,
    callback: Optional[str] = None,
) -> Suspension:
    """Suspends the step; the first of ``after`` (seconds), ``at`` and ``callback`` (a topic) to happen wakes it."""
    wakes: list[tuple[str, Any]] = []
    if after is not None:
        wakes.append(("after", milliseconds(after)))
    if at is not None:
        wakes.append(("at", max(0, round(at.timestamp() * 1000))))
    if callback is not None:
        wakes.append(("callback", callback))
    if not wakes:
        raise TypeError("`suspend` needs what wakes the step: `after`, `at` or `callback`")
    return Suspension(state, wakes, status)


@dataclass(frozen=True)
class Timer:
    """A time was reached."""


@dataclass(frozen=True)
class CallbackEvent:
    """A callback arrived."""

    topic: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def json(self, type: Any = Any) -> Any:
        """The body as JSON of a type."""
        try:
            return schema.decode(type, json.loads(self.body), strict=False)
        except ValueError as error:
            raise Failure.invalid("callback-body", f"the callback's body is not what was expected: {error}") from error


Event = Union[Timer, CallbackEvent]
