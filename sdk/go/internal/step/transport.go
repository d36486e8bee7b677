//go:build wasip1

package step

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"windlass.dev/go"
	"windlass.dev/go/internal/wit/types"
	"windlass.dev/go/internal/wit/wasi_http_outgoing_handler"
	wasi "windlass.dev/go/internal/wit/wasi_http_types"
	"windlass.dev/go/internal/wit/wasi_io_streams"
)

const (
	connectTimeout = 10 * time.Second
	readTimeout    = 30 * time.Second
	bodyBytesMax   = 8 << 20
	// What blocking-write-and-flush takes at once.
	writeBytesMax = 4096
	// Fits into one of the pages for what the host hands over.
	readBytesMax = 64<<10 - 16
)

// transport sends requests over wasi:http, and reads answers up to 8 MiB.
type transport struct{}

// RoundTrip is that of net/http. A deadline of the request's context bounds how long the answer may take to begin, and each
// next part of it.
func (transport) RoundTrip(request *http.Request) (*http.Response, error) {
	var body []byte
	if request.Body != nil {
		read, err := io.ReadAll(request.Body)
		request.Body.Close()
		if err != nil {
			return nil, err
		}
		body = read
	}
	outgoing, err := outgoingOf(request, body)
	if err != nil {
		return nil, err
	}
	timeout := readTimeout
	if deadline, ok := request.Context().Deadline(); ok {
		timeout = max(0, time.Until(deadline))
	}
	options := wasi.MakeRequestOptions()
	options.SetConnectTimeout(types.Some(uint64(connectTimeout)))
	options.SetFirstByteTimeout(types.Some(uint64(timeout)))
	options.SetBetweenBytesTimeout(types.Some(uint64(timeout)))
	// A body that is asked for and left empty is sent in chunks, which some servers refuse.
	var outgoingBody *wasi.OutgoingBody
	if request.Body != nil {
		taken, _, ok := outgoing.Body().Get()
		if !ok {
			return nil, &windlass.TransportError{Kind: "other", Message: "the request's body was taken already"}
		}
		outgoingBody = taken
	}
	pending, code, ok := wasi_http_outgoing_handler.Handle(outgoing, types.Some(options)).Get()
	if !ok {
		return nil, transportError(code)
	}
	defer pending.Drop()
	// The host answers early when it refuses or the connection breaks, and says why there, not on the stream.
	if outgoingBody == nil {
		// There is nothing to write.
	} else if write(outgoingBody, body) {
		if _, code, ok := wasi.OutgoingBodyFinish(outgoingBody, types.None[*wasi.Fields]()).Get(); !ok {
			return nil, transportError(code)
		}
	} else {
		outgoingBody.Drop()
	}
	ready := pending.Subscribe()
	ready.Block()
	ready.Drop()
	answer, ok := pending.Get().Get()
	if !ok {
		return nil, &windlass.TransportError{Kind: "other", Message: "the host gave no answer"}
	}
	inner, _, ok := answer.Get()
	if !ok {
		return nil, &windlass.TransportError{Kind: "other", Message: "the host gave no answer"}
	}
	incoming, code, ok := inner.Get()
	if !ok {
		return nil, transportError(code)
	}
	return receive(request, incoming)
}

func outgoingOf(request *http.Request, body []byte) (*wasi.OutgoingRequest, error) {
	bad := func(what string) error { return &windlass.TransportError{Kind: "bad-request", Message: what} }
	var list []types.Tuple2[string, []uint8]
	for name, values := range request.Header {
		for _, value := range values {
			list = append(list, types.Tuple2[string, []uint8]{F0: name, F1: []byte(value)})
		}
	}
	if request.Body != nil {
		list = append(list, types.Tuple2[string, []uint8]{F0: "content-length", F1: []byte(strconv.Itoa(len(body)))})
	}
	fields, _, ok := wasi.FieldsFromList(list).Get()
	if !ok {
		return nil, bad("a header is not allowed")
	}
	scheme := wasi.MakeSchemeHttp()
	if request.URL.Scheme == "https" {
		scheme = wasi.MakeSchemeHttps()
	}
	outgoing := wasi.MakeOutgoingRequest(fields)
	for _, set := range []types.Result[types.Unit, types.Unit]{
		outgoing.SetMethod(methodOf(request.Method)),
		outgoing.SetScheme(types.Some(scheme)),
		outgoing.SetAuthority(types.Some(request.URL.Host)),
		outgoing.SetPathWithQuery(types.Some(request.URL.RequestURI())),
	} {
		if set.Tag() != types.ResultOk {
			return nil, bad("the method, the address or the path is not a valid one")
		}
	}
	return outgoing, nil
}

func methodOf(name string) wasi.Method {
	switch name {
	case "", http.MethodGet:
		return wasi.MakeMethodGet()
	case http.MethodHead:
		return wasi.MakeMethodHead()
	case http.MethodPost:
		return wasi.MakeMethodPost()
	case http.MethodPut:
		return wasi.MakeMethodPut()
	case http.MethodPatch:
		return wasi.MakeMethodPatch()
	case http.MethodDelete:
		return wasi.MakeMethodDelete()
	}
	return wasi.MakeMethodOther(name)
}

func write(body *wasi.OutgoingBody, bytes []byte) bool {
	if len(bytes) == 0 {
		return true
	}
	stream, _, ok := body.Write().Get()
	if !ok {
		return false
	}
	defer stream.Drop()
	for at := 0; at < len(bytes); at += writeBytesMax {
		part := bytes[at:min(at+writeBytesMax, len(bytes))]
		if stream.BlockingWriteAndFlush(part).Tag() != types.ResultOk {
			return false
		}
	}
	return true
}

func receive(request *http.Request, incoming *wasi.IncomingResponse) (*http.Response, error) {
	defer incoming.Drop()
	header := http.Header{}
	fields := incoming.Headers()
	for _, pair := range fields.Entries() {
		header.Add(pair.F0, string(pair.F1))
	}
	fields.Drop()
	status := int(incoming.Status())
	body, _, ok := incoming.Consume().Get()
	if !ok {
		return nil, &windlass.TransportError{Kind: "other", Message: "the answer's body was taken already"}
	}
	defer body.Drop()
	stream, _, ok := body.Stream().Get()
	if !ok {
		return nil, &windlass.TransportError{Kind: "other", Message: "the answer's body was taken already"}
	}
	defer stream.Drop()
	read, err := readAll(stream)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(read)), ContentLength: int64(len(read)), Request: request,
	}, nil
}

func readAll(stream *wasi_io_streams.InputStream) ([]byte, error) {
	// Parts stay where the host has put them and are put together once: a buffer that grows leaves copies behind, which
	// together are more than a call's memory.
	var parts [][]byte
	size := 0
	for {
		part, failed, ok := stream.BlockingRead(readBytesMax).Get()
		if !ok {
			if failed.Tag() == wasi_io_streams.StreamError_Closed {
				return bytes.Join(parts, nil), nil
			}
			cause := failed.LastOperationFailed()
			defer cause.Drop()
			if code, known := wasi.HttpErrorCode(cause).Get(); known {
				return nil, transportError(code)
			}
			return nil, &windlass.TransportError{Kind: "interrupted", Message: cause.ToDebugString()}
		}
		parts = append(parts, part)
		size += len(part)
		if size > bodyBytesMax {
			return nil, &windlass.TransportError{Kind: "too-large", Message: fmt.Sprintf("the answer has more than %d bytes", bodyBytesMax)}
		}
	}
}

func transportError(code wasi.ErrorCode) error {
	of := func(kind, message string) error { return &windlass.TransportError{Kind: kind, Message: message} }
	switch code.Tag() {
	case wasi.ErrorCode_HttpRequestDenied:
		return of("denied", "the host denied the request")
	case wasi.ErrorCode_DestinationIpProhibited:
		return of("denied", "the host does not allow this address")
	case wasi.ErrorCode_DnsTimeout, wasi.ErrorCode_DnsError, wasi.ErrorCode_DestinationNotFound:
		return of("not-connected", "no connection: its name has no address")
	case wasi.ErrorCode_DestinationUnavailable, wasi.ErrorCode_DestinationIpUnroutable:
		return of("not-connected", "no connection: it cannot be reached")
	case wasi.ErrorCode_ConnectionRefused:
		return of("not-connected", "no connection: it refuses connections")
	case wasi.ErrorCode_ConnectionTimeout:
		return of("not-connected", "no connection: it does not answer")
	case wasi.ErrorCode_ConnectionLimitReached:
		return of("not-connected", "no connection: there are too many connections")
	case wasi.ErrorCode_TlsProtocolError, wasi.ErrorCode_TlsAlertReceived:
		return of("not-connected", "no connection: no secure connection could be agreed on")
	case wasi.ErrorCode_TlsCertificateError:
		return of("untrusted", "nothing was sent: the host does not trust the server's certificate")
	case wasi.ErrorCode_ConnectionReadTimeout, wasi.ErrorCode_ConnectionWriteTimeout, wasi.ErrorCode_HttpResponseTimeout:
		return of("timed-out", "no answer in time")
	// What a connection that breaks in the middle looks like differs from host to host.
	case wasi.ErrorCode_ConnectionTerminated, wasi.ErrorCode_HttpResponseIncomplete, wasi.ErrorCode_HttpProtocolError:
		return of("interrupted", "the connection ended before the answer was complete")
	case wasi.ErrorCode_HttpRequestBodySize, wasi.ErrorCode_HttpResponseHeaderSectionSize, wasi.ErrorCode_HttpResponseHeaderSize,
		wasi.ErrorCode_HttpResponseBodySize, wasi.ErrorCode_HttpResponseTrailerSectionSize, wasi.ErrorCode_HttpResponseTrailerSize:
		return of("too-large", "a limit was passed")
	case wasi.ErrorCode_HttpResponseTransferCoding, wasi.ErrorCode_HttpResponseContentCoding,
		wasi.ErrorCode_HttpUpgradeFailed, wasi.ErrorCode_LoopDetected:
		return of("other", "the answer cannot be read")
	case wasi.ErrorCode_InternalError:
		if said, ok := code.InternalError().Get(); ok {
			return of("other", said)
		}
		return of("other", "the host could not send it")
	}
	return of("bad-request", "the request cannot be sent")
}
