"""The component's side of the contract. ``windlass plugin build`` puts it around the plugin; nothing else imports it."""

from __future__ import annotations

import json
import time
import traceback
from datetime import timedelta
from typing import Any, Optional, Union

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import callbacks, checkpoint, connections, log, progress
from wit_world.imports import step_types as contract

from . import wasi_http
from .context import Call, CallbackAddress, Endpoint, Headers, Slot
from .failure import Failure, milliseconds, raised
from .outcome import CallbackEvent, Event, Timer
from .plugin import Answer, Plugin

wasi_http.install()


class _Slot:
    def __init__(self, slot: Any) -> None:
        self._slot: Optional[Any] = slot

    def finish(self, value: bytes) -> None:
        checkpoint.Slot.finish(self._slot, value)
        self._slot = None

    def drop(self) -> None:
        if self._slot is not None:
            self._slot.__exit__(None, None, None)
            self._slot = None


class _Imports:
    """The imports of the component as a host."""

    def log(self, level: str, message: str, fields: list[tuple[str, str]]) -> None:
        log.log(log.Level[level.upper()], message, fields)

    def status(self, text: str) -> None:
        progress.status(text)

    def percent(self, value: int) -> None:
        progress.percent(value)

    def link(self, title: str, url: str) -> None:
        progress.link(title, url)

    def connection(self, role: str) -> Optional[Endpoint]:
        bound = connections.get(role)
        return None if bound is None else Endpoint(bound.name, bound.base_url, dict(bound.properties))

    def begin(self, name: str) -> Union[bytes, Slot]:
        begun = checkpoint.begin(name)
        return begun.value if isinstance(begun, checkpoint.Begun_Recorded) else _Slot(begun.value)

    def callback(self) -> CallbackAddress:
        address = callbacks.create()
        return CallbackAddress(address.topic, address.url)

    def send(self, request: Any, timeout: float) -> tuple[int, Headers, bytes]:
        return wasi_http.send(request, timeout)

    def now(self) -> float:
        return time.time()


def step(plugin: Plugin) -> type:
    """The component's export."""
    host = _Imports()

    class Step(exports.Step):
        def manifest(self) -> str:
            return json.dumps(plugin.manifest(), ensure_ascii=False)

        def start(self, call: Any) -> Any:
            return _answer(lambda: plugin.start(host, _call(call)))

        def resume(self, call: Any, state: bytes, event: Any) -> Any:
            return _answer(lambda: plugin.resume(host, _call(call), state, _event(event)))

        def cancel(self, call: Any, state: Optional[bytes]) -> Any:
            return _answer(lambda: plugin.cancel(host, _call(call), state))

        def rollback(self, call: Any) -> Any:
            return _answer(lambda: plugin.rollback(host, _call(call)))

        def find(self, call: Any) -> Any:
            return _answer(lambda: plugin.find(host, _call(call)))

    return Step


def _call(call: Any) -> Call:
    fields = dict(vars(call))
    fields["operation"] = call.operation.name.lower()
    return Call(**fields)


def _event(event: Any) -> Event:
    if isinstance(event, contract.Event_Timer):
        return Timer()
    return CallbackEvent(event.value.topic, event.value.headers, event.value.body)


def _answer(operation: Any) -> Any:
    try:
        answer: Optional[Answer] = operation()
    except Failure as failure:
        raise Err(_failure(failure)) from None
    except Exception as error:
        # A fault of the plugin: how it got there is logged.
        log.log(log.Level.ERROR, traceback.format_exc(), [])
        raise Err(_failure(raised(error))) from None
    if answer is None:
        return None
    if answer.suspended is None:
        return contract.Outcome_Done(answer.done)
    suspended = answer.suspended
    wakes = [_WAKES[kind](value) for kind, value in suspended.wakes]
    return contract.Outcome_Suspended(contract.Suspension(suspended.state, wakes, suspended.status))


_WAKES: dict[str, Any] = {
    "after": contract.Wake_After, "at": contract.Wake_At, "callback": contract.Wake_Callback,
}
_ADVICE: dict[str, Any] = {
    "by-policy": contract.RetryAdvice_ByPolicy, "never": contract.RetryAdvice_Never, "pause": contract.RetryAdvice_Pause,
}


def _failure(failure: Failure) -> Any:
    advice = failure.advice
    retry = contract.RetryAdvice_After(milliseconds(advice)) if isinstance(advice, timedelta) else _ADVICE[advice]()
    return contract.Failure(
        contract.FailureClass[failure.failure_class.name], failure.code, failure.message, retry, list(failure.details.items())
    )
