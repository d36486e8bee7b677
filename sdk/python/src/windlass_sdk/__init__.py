"""Write Windlass plugins in Python.

Everything but ``component`` and ``wasi_http`` also runs outside of a component, so that a plugin's tests need none.
"""

from .context import CallbackAddress, Connection, Context, Response, Started
from .failure import Failure, FailureClass
from .http import path
from .outcome import CallbackEvent, Event, Suspension, Timer, suspend
from .plugin import CONTRACT, Action, Effect, Limits, Plugin, Role
from .schema import Field, Mismatch

__all__ = [
    "CONTRACT", "Action", "CallbackAddress", "CallbackEvent", "Connection", "Context", "Effect", "Event", "Failure",
    "FailureClass", "Field", "Limits", "Mismatch", "Plugin", "Response", "Role", "Started", "Suspension", "Timer", "path",
    "suspend",
]
