"""Requests of :mod:`urllib.request` over ``wasi:http``; only in a component.

When the component is built, an opener with :class:`WasiHandler` becomes the one that :func:`urllib.request.urlopen` uses,
so that libraries which know only that go through the host as well.
"""

from __future__ import annotations

import io
import re
import urllib.parse
import urllib.request
import urllib.response
from email.message import Message
from typing import Any

from componentize_py_types import Err, Ok
from wit_world.imports import outgoing_handler, streams
from wit_world.imports import types as wasi

from .context import Headers
from .http import TransportError

_CONNECT_TIMEOUT = 10.0
_BODY_BYTES_MAX = 8 * 1024 * 1024
#: What `blocking-write-and-flush` takes at once.
_WRITE_BYTES_MAX = 4096
_READ_BYTES_MAX = 64 * 1024
_METHODS: dict[str, Any] = {
    "GET": wasi.Method_Get, "HEAD": wasi.Method_Head, "POST": wasi.Method_Post, "PUT": wasi.Method_Put,
    "DELETE": wasi.Method_Delete, "OPTIONS": wasi.Method_Options, "PATCH": wasi.Method_Patch,
}


def send(request: urllib.request.Request, timeout: float) -> tuple[int, Headers, bytes]:
    """Sends a request and reads the answer, up to 8 MiB."""
    address = urllib.parse.urlsplit(request.full_url)
    body = request.data if isinstance(request.data, bytes) else b"".join(request.data or ())  # type: ignore[arg-type]
    headers = [(name.lower(), value.encode()) for name, value in request.header_items()]
    if request.data is not None:
        headers.append(("content-length", str(len(body)).encode()))
    outgoing = _outgoing(request.get_method(), address, headers)
    options = wasi.RequestOptions()
    options.set_connect_timeout(_nanoseconds(_CONNECT_TIMEOUT))
    options.set_first_byte_timeout(_nanoseconds(timeout))
    options.set_between_bytes_timeout(_nanoseconds(timeout))
    # A body that is asked for and left empty is sent in chunks, which some servers refuse.
    outgoing_body = None if request.data is None else outgoing.body()
    try:
        pending = outgoing_handler.handle(outgoing, options)
        # The host answers early when it refuses or the connection breaks, and says why there, not on the stream.
        if outgoing_body is None:
            pass
        elif _write(outgoing_body, body):
            wasi.OutgoingBody.finish(outgoing_body, None)
        else:
            outgoing_body.__exit__(None, None, None)
    except Err as error:
        raise _transport_error(error.value) from None
    with pending:
        with pending.subscribe() as ready:
            ready.block()
        answer = pending.get()
        if not isinstance(answer, Ok):
            raise TransportError("other", "the host gave no answer")
        if isinstance(answer.value, Err):
            raise _transport_error(answer.value.value)
        return _receive(answer.value.value)


def _outgoing(method: str, address: urllib.parse.SplitResult, headers: list[tuple[str, bytes]]) -> Any:
    try:
        outgoing = wasi.OutgoingRequest(wasi.Fields.from_list(headers))
        outgoing.set_method(_METHODS[method]() if method in _METHODS else wasi.Method_Other(method))
        outgoing.set_scheme(wasi.Scheme_Https() if address.scheme == "https" else wasi.Scheme_Http())
        outgoing.set_authority(address.netloc)
        outgoing.set_path_with_query((address.path or "/") + (f"?{address.query}" if address.query else ""))
        return outgoing
    except Err as error:
        raise TransportError("bad-request", f"the request is not a valid one: {error.value}") from None


def _write(body: Any, data: bytes) -> bool:
    if not data:
        return True
    with body.write() as stream:
        try:
            for at in range(0, len(data), _WRITE_BYTES_MAX):
                stream.blocking_write_and_flush(data[at : at + _WRITE_BYTES_MAX])
        except Err:
            return False
    return True


def _receive(response: Any) -> tuple[int, Headers, bytes]:
    with response:
        status = response.status()
        with response.headers() as fields:
            headers = Headers([(name, value.decode("latin-1")) for name, value in fields.entries()])
        with response.consume() as body, body.stream() as stream:
            return status, headers, _read(stream)


def _read(stream: Any) -> bytes:
    data = bytearray()
    while True:
        try:
            data += stream.blocking_read(_READ_BYTES_MAX)
        except Err as error:
            if isinstance(error.value, streams.StreamError_Closed):
                return bytes(data)
            with error.value.value as cause:
                code = wasi.http_error_code(cause)
                if code is not None:
                    raise _transport_error(code) from None
                raise TransportError("interrupted", cause.to_debug_string()) from None
        if len(data) > _BODY_BYTES_MAX:
            raise TransportError("too-large", f"the answer has more than {_BODY_BYTES_MAX} bytes")


_KINDS = {
    "denied": {"HttpRequestDenied", "DestinationIpProhibited"},
    "not-connected": {
        "DnsTimeout", "DnsError", "DestinationNotFound", "DestinationUnavailable", "DestinationIpUnroutable",
        "ConnectionRefused", "ConnectionTimeout", "ConnectionLimitReached", "TlsProtocolError", "TlsAlertReceived",
    },
    "untrusted": {"TlsCertificateError"},
    "timed-out": {"ConnectionReadTimeout", "ConnectionWriteTimeout", "HttpResponseTimeout"},
    # What a connection that breaks in the middle looks like differs from host to host.
    "interrupted": {"ConnectionTerminated", "HttpResponseIncomplete", "HttpProtocolError"},
    "other": {
        "HttpResponseTransferCoding", "HttpResponseContentCoding", "HttpUpgradeFailed", "LoopDetected", "InternalError",
    },
}


def _transport_error(code: Any) -> TransportError:
    name = type(code).__name__.removeprefix("ErrorCode_")
    kind = next((kind for kind, names in _KINDS.items() if name in names), None)
    if kind is None:
        # What is left are limits that were passed, and requests that cannot be sent.
        kind = "too-large" if re.fullmatch("Http(RequestBody|Response.*)Size", name) else "bad-request"
    said = getattr(code, "value", None)
    words = re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return TransportError(kind, f"{words} ({said})" if said is not None else words)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


class WasiHandler(urllib.request.BaseHandler):
    """Opens ``http`` and ``https`` for :mod:`urllib.request`."""

    def http_open(self, request: urllib.request.Request) -> Any:
        """As the handlers of :mod:`urllib.request`."""
        timeout = request.timeout if isinstance(request.timeout, (int, float)) else 30.0  # type: ignore[attr-defined]
        status, headers, body = send(request, timeout)
        message = Message()
        for name, value in headers.items():
            message[name] = value
        response = urllib.response.addinfourl(io.BytesIO(body), message, request.full_url, status)
        response.msg = ""  # type: ignore[attr-defined]
        return response

    https_open = http_open


def install() -> None:
    """Makes :func:`urllib.request.urlopen` go through the host. Redirects are not followed: a grant names addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (WasiHandler(), urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler()):
        opener.add_handler(handler)
    urllib.request.install_opener(opener)
