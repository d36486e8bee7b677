"""What an action raises when an operation does not succeed."""

from __future__ import annotations

import os
import traceback
from datetime import timedelta
from enum import Enum
from typing import Optional, Union

from .enums import Members


class FailureClass(Enum, metaclass=Members):
    """What kind of failure, for the retry policy."""

    TRANSIENT = "transient"
    RATE_LIMITED = "rate-limited"
    TIMED_OUT = "timed-out"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    CONFLICT = "conflict"
    INVALID = "invalid"
    REJECTED = "rejected"
    CANCELED = "canceled"
    INTERNAL = "internal"

    @property
    def passes(self) -> bool:
        """Whether the same request may well succeed a little later: what a step that polls should sit out."""
        return self in (FailureClass.TRANSIENT, FailureClass.RATE_LIMITED, FailureClass.TIMED_OUT)


class Failure(Exception):
    """A declared failure: its class for the policy, a stable code for programs, a message for people.

    >>> failure = Failure.rejected("build-failed", "build #812 failed").never().detail("build", 812)
    >>> failure.code, failure.advice, failure.details
    ('build-failed', 'never', {'build': '812'})
    """

    def __init__(self, failure_class: FailureClass, code: str, message: str) -> None:
        super().__init__(message)
        self.failure_class = failure_class
        self.code = code
        self.message = message
        #: ``by-policy``, ``never``, ``pause``, or how long to wait at least.
        self.advice: Union[str, timedelta] = "by-policy"
        self.details: dict[str, str] = {}
        #: Whether the request that failed may have had its effect: its answer got lost, or something in between answered.
        self.effect_unknown = False

    @classmethod
    def transient(cls, code: str, message: str) -> "Failure":
        """Worth another try as it is."""
        return cls(FailureClass.TRANSIENT, code, message)

    @classmethod
    def rate_limited(cls, code: str, message: str) -> "Failure":
        """The other side asks for fewer requests."""
        return cls(FailureClass.RATE_LIMITED, code, message)

    @classmethod
    def timed_out(cls, code: str, message: str) -> "Failure":
        """The other side did not answer or finish in time."""
        return cls(FailureClass.TIMED_OUT, code, message)

    @classmethod
    def unauthenticated(cls, code: str, message: str) -> "Failure":
        """Credentials are missing, wrong or expired."""
        return cls(FailureClass.UNAUTHENTICATED, code, message)

    @classmethod
    def forbidden(cls, code: str, message: str) -> "Failure":
        """The credentials, or the host's grant, do not allow it."""
        return cls(FailureClass.FORBIDDEN, code, message)

    @classmethod
    def not_found(cls, code: str, message: str) -> "Failure":
        """What the input names does not exist."""
        return cls(FailureClass.NOT_FOUND, code, message)

    @classmethod
    def conflict(cls, code: str, message: str) -> "Failure":
        """Something else stands in the way now."""
        return cls(FailureClass.CONFLICT, code, message)

    @classmethod
    def invalid(cls, code: str, message: str) -> "Failure":
        """The input is wrong."""
        return cls(FailureClass.INVALID, code, message)

    @classmethod
    def rejected(cls, code: str, message: str) -> "Failure":
        """The other side did the work and the answer is no."""
        return cls(FailureClass.REJECTED, code, message)

    @classmethod
    def canceled(cls, code: str, message: str) -> "Failure":
        """Somebody stopped it on the other side."""
        return cls(FailureClass.CANCELED, code, message)

    @classmethod
    def internal(cls, code: str, message: str) -> "Failure":
        """The plugin met something that it does not understand."""
        return cls(FailureClass.INTERNAL, code, message)

    def never(self) -> "Failure":
        """Advises against any attempt of the same input."""
        self.advice = "never"
        return self

    def pause(self) -> "Failure":
        """Advises to wait for a person."""
        self.advice = "pause"
        return self

    def after(self, wait: Union[timedelta, float]) -> "Failure":
        """Advises another attempt, not before this long (seconds, or a timedelta)."""
        self.advice = wait if isinstance(wait, timedelta) else timedelta(seconds=wait)
        return self

    def detail(self, name: str, value: object) -> "Failure":
        """Adds a detail."""
        self.details[name] = str(value)
        return self

    @property
    def passes(self) -> bool:
        """Whether the same request may well succeed a little later."""
        return self.failure_class.passes


def raised(error: Exception) -> Failure:
    """The failure that an exception stands for which the plugin did not catch: a fault of its own, with the line of its
    code that came closest to it."""
    sdk = os.path.dirname(__file__)
    frames = [it for it in traceback.extract_tb(error.__traceback__) if os.path.dirname(it.filename) != sdk]
    # What the plugin calls may be anywhere; its own code is where it was entered.
    own = [it for it in frames if os.path.dirname(it.filename) == os.path.dirname(frames[0].filename)]
    place = f" ({os.path.basename(own[-1].filename)}, line {own[-1].lineno})" if own else ""
    return Failure.internal("exception", f"the plugin raised {type(error).__name__}: {error}{place}")


def milliseconds(wait: Union[timedelta, float]) -> int:
    """Milliseconds of seconds or a timedelta."""
    seconds = wait.total_seconds() if isinstance(wait, timedelta) else wait
    if seconds < 0:
        raise ValueError(f"{wait} is no length of time: it is less than nothing")
    return round(seconds * 1000)


#: The longest wait that a server can ask for and get.
RETRY_AFTER_MAX = timedelta(days=1)


def bounded(seconds: float) -> Optional[timedelta]:
    """A wait that a server asks for, within bounds."""
    return min(timedelta(seconds=min(max(seconds, 0.0), 1e9)), RETRY_AFTER_MAX)
