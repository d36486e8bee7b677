"""What an HTTP status or a lost connection means for the retry policy."""

from __future__ import annotations

import email.utils
import json
import math
import re
import urllib.error
import urllib.parse
from datetime import timedelta
from enum import Enum
from typing import Any, Mapping, Optional

from .failure import Failure, FailureClass, bounded

_SHOWN_BYTES = 64 * 1024
#: Kinds of trouble that come before anything is sent.
_NOT_SENT = ("denied", "not-connected", "untrusted", "bad-request")
#: Statuses with which something in between may answer for a server that has done the work.
_IN_DOUBT = (408, 500, 502, 504)


class TransportError(urllib.error.URLError):
    """No response came. ``kind`` says why: ``denied not-connected untrusted interrupted timed-out too-large bad-request
    other``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    @property
    def effect_unknown(self) -> bool:
        """Whether the request may have had its effect all the same."""
        return self.kind not in _NOT_SENT


_TRANSPORT = {
    "not-connected": (FailureClass.TRANSIENT, "not-connected"),
    "untrusted": (FailureClass.UNAUTHENTICATED, "untrusted"),
    "interrupted": (FailureClass.TRANSIENT, "interrupted"),
    "timed-out": (FailureClass.TIMED_OUT, "timed-out"),
    "too-large": (FailureClass.INTERNAL, "too-large"),
    "bad-request": (FailureClass.INTERNAL, "bad-request"),
}


def path(*segments: object) -> str:
    """A path of percent-encoded segments: ``path("jobs", id)`` is ``/jobs/…``."""
    texts = (text_of(segment, f"segment {at} of the path") for at, segment in enumerate(segments, 1))
    return "".join("/" + urllib.parse.quote(text, safe="") for text in texts)


def text_of(value: object, what: str) -> str:
    """A value as it is written into an address, a form or a header: nothing but a text, a number or a bool has one meaning there."""
    plain = value.value if isinstance(value, Enum) else value
    if isinstance(plain, str):
        return plain
    if isinstance(plain, bool):
        return str(plain).lower()
    if isinstance(plain, (int, float)) and math.isfinite(plain):
        return str(plain)
    known = plain is None or isinstance(plain, float)
    shown = str(plain) if known else f"a {type(plain).__name__}"
    message = f"{what} is {shown}: write a text, a number or a bool, or leave it out"
    raise Failure.internal("no-text", message).never()


def transport_failure(method: str, url: str, error: TransportError) -> Failure:
    """The failure that a missing response stands for."""
    place = url.split("?")[0]
    if error.kind == "denied":
        why = "the action has to ask for it among the requests of its role, and the connection to allow it"
        return Failure.forbidden("request-denied", f"the host denied {method} {place}: {why}").never()
    failure_class, code = _TRANSPORT.get(error.kind, (FailureClass.TRANSIENT, "transport"))
    failure = Failure(failure_class, code, f"{method} {place}: {error.message}")
    failure.effect_unknown = error.effect_unknown
    return failure.never() if failure_class is FailureClass.INTERNAL else failure


def status_failure(method: str, url: str, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """The failure that a status stands for, with what the body says."""
    place = url.split("?")[0]
    hint = ""
    if 300 <= status < 400:
        hint = " (redirects are not followed: is the connection's address right?)"
    said = _said(body[:_SHOWN_BYTES].decode("utf-8", "replace"))
    message = f"{method} {place} was answered with {status}{hint}{': ' + said if said else ''}"
    failure = Failure(_class_of(status), f"http-{status}", message).detail("status", status)
    failure.effect_unknown = status in _IN_DOUBT
    if failure.failure_class in (FailureClass.RATE_LIMITED, FailureClass.TRANSIENT):
        wait = _retry_after(headers)
        if wait is not None:
            failure.after(wait)
    return failure


def _class_of(status: int) -> FailureClass:
    known = {
        400: FailureClass.INVALID, 422: FailureClass.INVALID, 401: FailureClass.UNAUTHENTICATED,
        407: FailureClass.UNAUTHENTICATED, 403: FailureClass.FORBIDDEN, 404: FailureClass.NOT_FOUND,
        410: FailureClass.NOT_FOUND, 408: FailureClass.TIMED_OUT, 504: FailureClass.TIMED_OUT,
        409: FailureClass.CONFLICT, 412: FailureClass.CONFLICT, 423: FailureClass.CONFLICT, 425: FailureClass.CONFLICT,
        429: FailureClass.RATE_LIMITED, 501: FailureClass.INTERNAL, 505: FailureClass.INTERNAL,
    }
    return known.get(status, FailureClass.TRANSIENT if status >= 500 else FailureClass.INTERNAL)


def _retry_after(headers: Mapping[str, str]) -> Optional[timedelta]:
    """``Retry-After`` in seconds; a date asks for the wait between it and ``Date``."""
    value = (headers.get("Retry-After") or "").strip()
    if re.fullmatch(r"\d+", value):
        return bounded(float(value))
    until, now = (email.utils.parsedate_tz(it) for it in (value, headers.get("Date") or ""))
    if until is None or now is None:
        return None
    return bounded(email.utils.mktime_tz(until) - email.utils.mktime_tz(now))


def _said(body: str) -> str:
    """What the body says, on one line: a JSON error's message, or text without markup."""
    try:
        value = json.loads(body)
        text = _message_of(value) or json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        text = body
        if body.lstrip().startswith("<"):
            text = re.sub(r"(?is)<(script|style).*?(</\1>|$)", " ", text)
            text = re.sub(r"<[^>]*>?", " ", text)
    line = " ".join(text.split())
    return line if len(line) <= 500 else line[:500] + "…"


def _message_of(value: Any) -> Optional[str]:
    def of(it: Any) -> Optional[str]:
        if isinstance(it, str):
            return it or None
        if not isinstance(it, dict):
            return None
        parts = [it[name] for name in ("message", "detail", "error_description") if isinstance(it.get(name), str) and it[name]]
        return " – ".join(parts) or None

    if not isinstance(value, dict):
        return None
    errors = value.get("errors")
    return of(value.get("error")) or of(value) or (of(errors[0]) if isinstance(errors, list) and errors else None)
