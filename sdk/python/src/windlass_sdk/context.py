"""What an operation has in hand: who it works for, and the host's capabilities."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable, Collection, Mapping, Optional, Protocol, TypeVar, Union

from . import schema
from .failure import Failure
from .http import TransportError, status_failure, text_of, transport_failure

T = TypeVar("T")


@dataclass
class Call:
    """One call of an action on behalf of a step."""

    action: str
    operation: str
    release: str
    step: str
    attempt: int
    idempotency_key: str
    deadline: Optional[int]
    dry_run: bool
    input: str
    output: Optional[str]
    context: list[tuple[str, str]]


@dataclass
class Endpoint:
    """What a plugin may know of a connection."""

    name: str
    base_url: str
    properties: dict[str, str] = field(default_factory=dict)


@dataclass
class CallbackAddress:
    """An address that wakes the step when the other side sends a ``POST`` to it. It is a credential."""

    topic: str
    #: None where the installation takes no callbacks from the network.
    url: Optional[str] = None

    def required_url(self) -> str:
        """The URL; where there is none, a failure that says what the operator has to do, and pauses until then."""
        if self.url is not None:
            return self.url
        message = "this installation takes no callbacks from the network: `windlass serve --callbacks ADDRESS:PORT` does; then try the step again"
        raise Failure.invalid("no-callback-url", message).pause()


class Slot(Protocol):
    """A part that has begun and is not recorded yet."""

    def finish(self, value: bytes) -> None: ...
    def drop(self) -> None: ...


class Headers(dict[str, str]):
    """Headers by name in any case."""

    def __init__(self, pairs: Collection[tuple[str, str]] = ()) -> None:
        super().__init__()
        for name, value in pairs:
            name = name.lower()
            self[name] = f"{self[name]}, {value}" if name in self else value

    def get(self, name: str, default: Any = None) -> Any:  # type: ignore[override]
        return super().get(name.lower(), default)


class Host(Protocol):
    """The host as the SDK uses it."""

    def log(self, level: str, message: str, fields: list[tuple[str, str]]) -> None: ...
    def status(self, text: str) -> None: ...
    def percent(self, value: int) -> None: ...
    def link(self, title: str, url: str) -> None: ...
    def connection(self, role: str) -> Optional[Endpoint]: ...
    def begin(self, name: str) -> Union[bytes, Slot]: ...
    def callback(self) -> CallbackAddress: ...
    def send(self, request: urllib.request.Request, timeout: float) -> tuple[int, Headers, bytes]: ...
    def now(self) -> float: ...


class Log:
    """Lines for the release's log."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def _line(self, level: str, message: object, fields: Mapping[str, object]) -> None:
        self._host.log(level, str(message), [(name, str(value)) for name, value in fields.items()])

    def trace(self, message: object, **fields: object) -> None:
        """Only for whoever debugs the plugin."""
        self._line("trace", message, fields)

    def debug(self, message: object, **fields: object) -> None:
        """Only for whoever debugs the step."""
        self._line("debug", message, fields)

    def info(self, message: object, **fields: object) -> None:
        """What happens."""
        self._line("info", message, fields)

    def warn(self, message: object, **fields: object) -> None:
        """What might go wrong."""
        self._line("warn", message, fields)

    def error(self, message: object, **fields: object) -> None:
        """What went wrong."""
        self._line("error", message, fields)


class Progress:
    """What people see while a call runs; the last value of each stands."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def status(self, text: str) -> None:
        """One short sentence."""
        self._host.status(text)

    def percent(self, value: float) -> None:
        """0 to 100."""
        self._host.percent(max(0, min(100, round(value))))

    def link(self, title: str, url: str) -> None:
        """A place to look at, kept with the step."""
        self._host.link(title, url)


@dataclass
class Response:
    """A response, its body read."""

    method: str
    url: str
    status: int
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self, type: Any = Any) -> Any:
        """The body as JSON of a type; the failure names the field that is not as expected."""
        try:
            return schema.decode(type, json.loads(self.body), strict=False)
        except ValueError as error:
            no_json = isinstance(error, (json.JSONDecodeError, UnicodeDecodeError))
            problem = self._no_json() if no_json else error
            message = f"the answer to {self.method} {self.url} is not what was expected: {problem}"
            raise Failure.internal("unexpected-response", message) from error

    def _no_json(self) -> str:
        """What came instead of JSON: a login page, a proxy's complaint."""
        if not self.body:
            return "it is empty"
        kind = self.headers.get("content-type") or "of no type"
        beginning = " ".join(self.body[:400].decode("utf-8", "replace").split())[:60]
        return f"it is no JSON ({kind}) and begins with `{beginning}`"

    def failure(self) -> Failure:
        """The failure that the status stands for."""
        return status_failure(self.method, self.url, self.status, self.headers, self.body)


class Connection:
    """An endpoint that the operator bound to a role. Credentials are added by the host, on the wire."""

    def __init__(self, host: Host, endpoint: Endpoint, idempotency_key: str) -> None:
        self._host = host
        self._key = idempotency_key
        self.name = endpoint.name
        self.base_url = endpoint.base_url
        self.properties = endpoint.properties

    def url(self, path: str) -> str:
        """The full address of a path, for example to show as a link."""
        slash = "" if path == "" or path.startswith("/") else "/"
        return self.base_url.rstrip("/") + slash + path

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: Union[bytes, str, Mapping[str, object], None] = None,
        query: Optional[Mapping[str, object]] = None,
        headers: Optional[Mapping[str, str]] = None,
        idempotency_key: Union[bool, str] = False,
        accept: Union[Collection[int], bool] = (),
        timeout: float = 30.0,
    ) -> Response:
        """Sends a request to a path below the base URL.

        ``json`` is a body as JSON, ``data`` one of bytes, text or a form. ``idempotency_key`` sends the operation's key
        (``True``) or a given one, ``accept`` are statuses besides 2xx that are no failure (``True``: all), ``timeout`` is for the response to begin
        and for each next part. What goes wrong is raised as a failure of the fitting class.
        """
        url = self.url(path)
        if query:
            url += ("&" if "?" in url else "?") + _pairs(query, "the query")
        request = urllib.request.Request(url, method=method)
        request.add_header("Accept", "application/json, */*;q=0.5")
        if json is not None:
            request.data = _json(json).encode()
            request.add_header("Content-Type", "application/json")
        elif isinstance(data, Mapping):
            request.data = _pairs(data, "the form").encode()
            request.add_header("Content-Type", "application/x-www-form-urlencoded")
        elif data is not None:
            request.data = data.encode() if isinstance(data, str) else data
        if idempotency_key:
            request.add_header("Idempotency-Key", self._key if idempotency_key is True else idempotency_key)
        for name, value in (headers or {}).items():
            request.add_header(name, text_of(value, f"the header `{name}`"))
        try:
            status, received, body = self._host.send(request, timeout)
        except TransportError as error:
            raise transport_failure(method, url, error) from error
        response = Response(method, url, status, received, body)
        if 200 <= status < 300 or accept is True or (not isinstance(accept, bool) and status in accept):
            return response
        raise response.failure()

    def get(self, path: str, **options: Any) -> Response:
        """As :meth:`request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Response:
        """As :meth:`request`."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Response:
        """As :meth:`request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Response:
        """As :meth:`request`."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Response:
        """As :meth:`request`."""
        return self.request("DELETE", path, **options)


class Context:
    """One call, and what the host offers to it."""

    def __init__(self, host: Host, call: Call, roles: Collection[str]) -> None:
        self._host = host
        self._call = call
        self._roles = roles
        self.log = Log(host)
        self.progress = Progress(host)
        self.release = call.release
        #: Step instance: ``deploy`` or ``deploy[eu-1]``.
        self.step = call.step
        #: From 1; counts the attempts of this operation.
        self.attempt = call.attempt
        #: ``start``, ``cancel`` or ``rollback``.
        self.operation = call.operation
        #: The same for the attempts of this operation until one of them has got a definite answer, and for ``find``.
        self.idempotency_key = call.idempotency_key
        #: Writes are stopped by the host; an action may say what it would have done.
        self.dry_run = call.dry_run
        #: When the host will stop this attempt, waits included.
        self.deadline = None if call.deadline is None else datetime.fromtimestamp(call.deadline / 1000, timezone.utc)

    def value(self, name: str) -> Optional[str]:
        """A value of the call's open list: ``tenant``, ``environment``, ``actor``, ``traceparent``."""
        return next((value for key, value in self._call.context if key == name), None)

    def now(self) -> datetime:
        """The time of day."""
        return datetime.fromtimestamp(self._host.now(), timezone.utc)

    def connection(self, role: str) -> Connection:
        """The connection bound to a role; a failure that says what to do if there is none."""
        connection = self.optional_connection(role)
        if connection is not None:
            return connection
        message = f"no connection is bound to the role `{role}`: a workflow's step names one in `connection`, a test gives its host one"
        if role not in self._roles:
            message = f"the action has no role `{role}`; it declares {', '.join(f'`{it}`' for it in self._roles) or 'none'}"
        raise Failure.invalid("connection-missing", message).never()

    def optional_connection(self, role: str) -> Optional[Connection]:
        """The connection bound to an optional role."""
        endpoint = self._host.connection(role)
        return None if endpoint is None else Connection(self._host, endpoint, self._call.idempotency_key)

    def callback(self) -> CallbackAddress:
        """Makes an address that wakes the step when the other side calls it."""
        return self._host.callback()

    def once(self, name: str, part: Callable[[], T], type: Any = Any) -> T:
        """Does a part of this piece of work once: what came back is recorded, and another attempt under the same
        idempotency key gets it without doing it again. After a definite answer the key is another, and so is the work.
        A failure is not recorded. What comes back is read from the record as ``type``, the first time as well: without
        one a dataclass is a ``dict``. What ``start`` did so :attr:`starts` tells."""
        return self.checkpoint(_part_of(name, self.idempotency_key), part, type)

    @property
    def starts(self) -> "list[Started]":
        """The pieces of work that ``start`` of this step has begun, oldest first; while it goes on the last is its own.
        There may be something of each for a rollback to undo, also where the answer never came back."""
        own = self.idempotency_key if self.operation == "start" else ""
        keys = self.value("start-keys")
        return [Started(self, key) for key in (own if keys is None else keys).split()]

    def checkpoint(self, name: str, part: Callable[[], T], type: Any = Any) -> T:
        """Does a part of the step once, however often that is tried: what came back is recorded, and all later attempts and
        operations of the step get it without doing it again, until a person has the whole step run again. For what was so
        before the step; for what it does there is :meth:`once`. A failure is not recorded. ``type`` is as with
        :meth:`once`."""
        begun = self._host.begin(name)
        if isinstance(begun, bytes):
            return self._read(name, begun, type)
        try:
            record = _json(part()).encode()
            begun.finish(record)
        finally:
            begun.drop()
        # Read as another attempt will read it, so that what only works once is seen at once.
        return self._read(name, record, type)

    def recorded(self, name: str, type: Any = Any) -> Any:
        """What a part of the step came to, or None if it was not done."""
        begun = self._host.begin(name)
        if isinstance(begun, bytes):
            return self._read(name, begun, type)
        begun.drop()
        return None

    @staticmethod
    def _read(name: str, recorded: bytes, type: Any) -> Any:
        try:
            return schema.decode(type, json.loads(recorded))
        except ValueError as error:
            raise Failure.internal("checkpoint", f"the checkpoint `{name}`: {error}").never() from error


class Started:
    """A piece of work that ``start`` has begun, under an idempotency key of its own."""

    def __init__(self, context: Context, key: str) -> None:
        self._context = context
        #: By which the other system knows it.
        self.key = key

    def recorded(self, name: str, type: Any = Any) -> Any:
        """What :meth:`Context.once` came to in it, or None if it was not done."""
        return self._context.recorded(_part_of(name, self.key), type)


def _part_of(name: str, key: str) -> str:
    """The checkpoint of a part of one piece of work."""
    return f"{name}/{key}"


def _pairs(fields: Mapping[str, object], what: str) -> str:
    return urllib.parse.urlencode({name: text_of(value, f"`{name}` in {what}") for name, value in fields.items()})


def _json(value: Any) -> str:
    return json.dumps(schema.encode(value), ensure_ascii=False)
