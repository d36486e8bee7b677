"""A host for a plugin's own tests, and a step that goes through it.

Nothing here is a sandbox or a network: answers are scripted, time only moves when a test or a wake moves it. What the real
host checks is checked here too: requests against the manifest's roles, inputs and outputs against the types.

>>> host = MockHost(connections={"app": "https://app.test"})
>>> host.reply("GET /version", Reply.json(200, {"version": "1.2.3"}))
"""

from __future__ import annotations

import json
import os
import re
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Union

from . import schema
from .context import Call, CallbackAddress, Endpoint, Headers, Slot
from .failure import Failure
from .http import TransportError
from .outcome import Event, Suspension, Timer
from .plugin import Answer, Plugin

__all__ = ["LogLine", "MockHost", "Reply", "SeenRequest", "Tested", "TestStep", "TransportError"]

#: 2026-01-05 09:00 UTC.
_START = 1_767_603_600.0
#: More wakes than any test needs: a step that goes on longer never ends.
_WAKES_MAX = 10_000
#: How many characters of an output are shown that is not as declared.
_SHOWN = 200
_KEYS = {
    "start": "0123456789abcdef0123456789abcdef",
    "cancel": "cccccccccccccccccccccccccccccccc",
    "rollback": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
}


@dataclass
class Reply:
    """A scripted answer to one request."""

    code: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    kind: Optional[str] = None

    @classmethod
    def status(cls, code: int, headers: Optional[Mapping[str, str]] = None) -> "Reply":
        """A status without a body."""
        return cls(code, dict(headers or {}))

    @classmethod
    def json(cls, code: int, body: Any, headers: Optional[Mapping[str, str]] = None) -> "Reply":
        """A JSON answer."""
        return cls(code, {"Content-Type": "application/json", **(headers or {})}, json.dumps(body).encode())

    @classmethod
    def text(cls, code: int, body: str, headers: Optional[Mapping[str, str]] = None) -> "Reply":
        """A text answer."""
        return cls(code, dict(headers or {}), body.encode())

    @classmethod
    def error(cls, kind: str) -> "Reply":
        """No answer, for this reason: ``interrupted``, ``timed-out``, ``not-connected``, …"""
        return cls(kind=kind)


@dataclass
class SeenRequest:
    """A request that the mock host saw."""

    method: str
    path: str
    query: dict[str, str]
    headers: Headers
    body: bytes

    @property
    def route(self) -> str:
        """``POST /jobs``."""
        return f"{self.method} {self.path}"

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class LogLine:
    """A line of the log."""

    level: str
    message: str
    fields: dict[str, str]


class MockHost:
    """A host whose answers a test scripts; it stands at 2026-01-05 09:00 UTC."""

    def __init__(
        self,
        connections: Optional[Mapping[str, str]] = None,
        *,
        callbacks: bool = True,
        server: Optional[Callable[[SeenRequest], Optional[Reply]]] = None,
    ) -> None:
        self._connections = {role: Endpoint(f"{role}-test", url.rstrip("/")) for role, url in (connections or {}).items()}
        self._takes_callbacks = callbacks
        self._server = server
        self._routes: dict[str, list[Reply]] = {}
        self._standing: dict[str, Reply] = {}
        self._checkpoints: dict[str, bytes] = {}
        self._callbacks = 0
        self._clock = _START
        self.grants: dict[str, Any] = {}
        self.requests: list[SeenRequest] = []
        self.lines: list[LogLine] = []
        self.links: list[tuple[str, str]] = []
        self.last_status: Optional[str] = None
        self.last_percent: Optional[int] = None

    def reply(self, route: str, answer: Reply) -> None:
        """Scripts the next answer to ``METHOD /path`` (below the base URL, without the query)."""
        self._routes.setdefault(route, []).append(answer)

    def always(self, route: str, answer: Reply) -> None:
        """Scripts the answer to ``METHOD /path`` for when no other is left."""
        self._standing[route] = answer

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._clock += seconds

    def count(self, route: str) -> int:
        """How many requests went to ``METHOD /path``."""
        return sum(1 for request in self.requests if request.route == route)

    # What the SDK asks of a host.

    def log(self, level: str, message: str, fields: list[tuple[str, str]]) -> None:
        self.lines.append(LogLine(level, message, dict(fields)))

    def status(self, text: str) -> None:
        self.last_status = text

    def percent(self, value: int) -> None:
        self.last_percent = value

    def link(self, title: str, url: str) -> None:
        self.links.append((title, url))

    def connection(self, role: str) -> Optional[Endpoint]:
        return self._connections.get(role)

    def begin(self, name: str) -> Union[bytes, Slot]:
        return self._checkpoints.get(name) or _MockSlot(self._checkpoints, name)

    def callback(self) -> CallbackAddress:
        self._callbacks += 1
        topic = f"topic-{self._callbacks}"
        return CallbackAddress(topic, f"https://windlass.test/callbacks/{topic}" if self._takes_callbacks else None)

    def now(self) -> float:
        return self._clock

    def send(self, request: urllib.request.Request, timeout: float) -> tuple[int, Headers, bytes]:
        url, method = request.full_url, request.get_method()
        role, below = self._role_of(url)
        path, _, query = below.partition("?")
        rules = self.grants.get(role, {}).get("requests", [])
        if not any(method in rule["methods"] and _path_matches(rule["path"], path) for rule in rules):
            raise TransportError("denied", f"the manifest does not ask for {method} {path}")
        body = request.data if isinstance(request.data, bytes) else b""
        headers = Headers(request.header_items())
        seen = SeenRequest(method, path, dict(urllib.parse.parse_qsl(query)), headers, body)
        self.requests.append(seen)
        scripted = self._routes.get(seen.route) or []
        answer = scripted.pop(0) if scripted else None
        answer = answer or (self._server and self._server(seen)) or self._standing.get(seen.route)
        if answer is None:
            raise AssertionError(f"the mock host has no answer to {seen.route} {seen.query}: {self._scripted(seen.route)}")
        if answer.kind is not None:
            raise TransportError(answer.kind, f"scripted: {answer.kind}")
        return answer.code, Headers(list(answer.headers.items())), answer.body

    def _role_of(self, url: str) -> tuple[str, str]:
        for role, endpoint in self._connections.items():
            rest = url.removeprefix(endpoint.base_url)
            if rest != url and (rest == "" or rest[0] in "/?"):
                return role, rest
        bound = ", ".join(f"`{role}` at {endpoint.base_url}" for role, endpoint in self._connections.items())
        known = f"there is {bound}" if bound else "the mock host has none"
        raise TransportError("denied", f"{url} is below no connection: {known}")

    def _scripted(self, route: str) -> str:
        """Why there is no answer, and what there is."""
        if route in self._routes:
            return "each `reply` is given once, and all were; `always` is given again and again"
        known = ", ".join({**self._routes, **self._standing})
        return f"there is {known}" if known else "none was scripted"


class _MockSlot:
    def __init__(self, checkpoints: dict[str, bytes], name: str) -> None:
        self._checkpoints = checkpoints
        self._name = name

    def finish(self, value: bytes) -> None:
        if len(value) > 65_536:
            raise AssertionError("a checkpoint holds at most 64 KiB")
        self._checkpoints[self._name] = value

    def drop(self) -> None:
        pass


@dataclass
class Tested:
    """What a call came to: the output, or a suspension with its state readable."""

    output: Any = None
    suspended: Optional[Suspension] = None


class TestStep:
    """One step: an action with its input, and the attempt that it is in."""

    __test__ = False  # for pytest

    def __init__(
        self, plugin: Plugin, action: str, input: Any, *, attempt: int = 1, starts: int = 1,
        context: Optional[Mapping[str, str]] = None,
    ) -> None:
        self._plugin = plugin
        self._entry = plugin.entry(action)
        self._action = action
        self._input = schema.encode(input)
        self._attempt = attempt
        self._starts = starts
        self._given = dict(context or {})

    def start_anew(self) -> "TestStep":
        """The same step in an attempt of `start` after one that got a definite answer: under another idempotency key."""
        return TestStep(
            self._plugin, self._action, self._input, attempt=self._attempt + 1, starts=self._starts + 1, context=self._given,
        )

    @staticmethod
    def start_key(n: int) -> str:
        """The idempotency key of the `n`th piece of work that `start` begins, from 1."""
        return _KEYS["start"] if n == 1 else f"{n:08x}{_KEYS['start'][8:]}"

    @staticmethod
    def key(operation: str) -> str:
        """The idempotency key of an operation; another for each, as in the host."""
        return _KEYS[operation]

    def _tell(self, called: str) -> None:
        """Tells `windlass plugin test` which operations of which actions the tests call."""
        file = os.environ.get("WINDLASS_TESTED")
        if not file:
            return
        actions = self._plugin.manifest()["actions"].items()
        declared = {name: ["start", *(it for it in ("cancel", "rollback", "find") if action[it])] for name, action in actions}
        with open(file, "a", encoding="utf-8") as tested:
            tested.write(json.dumps({"action": self._action, "called": called, "declared": declared}) + "\n")

    def start(self, host: MockHost) -> Tested:
        """Calls `start`."""
        self._tell("start")
        return self._checked(self._plugin.start(host, self._call(host, "start")))

    def resume(self, host: MockHost, suspended: Suspension, event: Event = Timer()) -> Tested:
        """Calls `resume` of the action itself."""
        return self._checked(self._plugin.resume(host, self._call(host, "start"), _bytes(suspended.state), event))

    def run(self, host: MockHost) -> Any:
        """Starts, and resumes at each timer with the clock moved there, until it ends: the output."""
        return self._follow(host, self.start(host), "start")

    def cancel(self, host: MockHost, suspended: Optional[Suspension] = None) -> Any:
        """Cancels, and follows the cancel to its end."""
        self._tell("cancel")
        state = None if suspended is None else _bytes(suspended.state)
        return self._follow(host, _parsed(self._plugin.cancel(host, self._call(host, "cancel"), state)), "cancel")

    def rollback(self, host: MockHost, output: Any = None) -> Any:
        """Rolls back, and follows the rollback to its end."""
        self._tell("rollback")
        answer = self._plugin.rollback(host, self._call(host, "rollback", output))
        return self._follow(host, _parsed(answer), "rollback", output)

    def find(self, host: MockHost) -> Optional[Tested]:
        """Calls `find`; None if the effect never happened."""
        self._tell("find")
        found = self._plugin.find(host, self._call(host, "start"))
        return None if found is None else self._checked(found)

    def _follow(self, host: MockHost, tested: Tested, operation: str, output: Any = None) -> Any:
        for _ in range(_WAKES_MAX):
            if tested.suspended is None:
                return tested.output
            host.advance(_wait_of(tested.suspended, host.now()))
            call = self._call(host, operation, output)
            answer = self._plugin.resume(host, call, _bytes(tested.suspended.state), Timer())
            tested = self._checked(answer) if operation == "start" else _parsed(answer)
        raise AssertionError(f"`{self._action}` was woken {_WAKES_MAX} times and has not ended")

    def _call(self, host: MockHost, operation: str, output: Any = None) -> Call:
        try:
            schema.decode(self._entry.input, self._input)
        except schema.Mismatch as error:
            raise schema.Mismatch("", f"what the test gives `{self._action}` is not its input: {error}") from None
        host.grants = self._plugin.manifest()["actions"][self._action]["connections"]
        written = None if output is None else json.dumps(schema.encode(output))
        starts = [self.start_key(n + 1) for n in range(self._starts)]
        key = starts[-1] if operation == "start" else _KEYS[operation]
        context = {"start-keys": " ".join(starts), **self._given}
        return Call(
            self._action, operation, "payments-1", "step", self._attempt, key, None, False,
            json.dumps(self._input), written, list(context.items()),
        )

    def _checked(self, answer: Answer) -> Tested:
        tested = _parsed(answer)
        if tested.suspended is None:
            self._has_declared(tested.output)
        return tested

    def _has_declared(self, output: Any) -> None:
        """The host says the same of an output, by the same code."""
        try:
            schema.decode(self._entry.output, output)
        except schema.Mismatch as error:
            shown = json.dumps(output, ensure_ascii=False)
            shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
            message = f"what `{self._action}` gives is not its output: {error}: {shown}"
            raise Failure.internal("output-breaks-schema", message).never() from None


def _parsed(answer: Answer) -> Tested:
    if answer.suspended is None:
        return Tested(output=json.loads(answer.done or "null"))
    suspended = answer.suspended
    return Tested(suspended=Suspension(json.loads(suspended.state), suspended.wakes, suspended.status))


def _bytes(state: Any) -> bytes:
    return json.dumps(state).encode()


def _wait_of(suspended: Suspension, now: float) -> float:
    waits = [value / 1000 if kind == "after" else max(0.0, value / 1000 - now) for kind, value in suspended.wakes if kind != "callback"]
    if not waits:
        raise AssertionError(f"`{suspended.status}` is woken by no timer")
    return min(waits)


def _path_matches(pattern: str, path: str) -> bool:
    """Matches as the manifest says: ``*`` within one segment, ``**`` any number of segments."""

    def segments(pattern: list[str], path: list[str]) -> bool:
        if not pattern:
            return not path
        if pattern[0] == "**":
            return any(segments(pattern[1:], path[taken:]) for taken in range(len(path) + 1))
        return bool(path) and segment(pattern[0], path[0]) and segments(pattern[1:], path[1:])

    def segment(pattern: str, text: str) -> bool:
        return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None

    return segments(pattern.split("/"), path.split("/"))
