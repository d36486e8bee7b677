package windlass

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	bodyBytesMax  = 8 << 20
	shownBytesMax = 64 << 10
	// The longest wait that a server can ask for and get.
	retryAfterMax = 24 * time.Hour
)

// TransportError is why no response came.
type TransportError struct {
	// Kind is denied, not-connected, untrusted, interrupted, timed-out, too-large, bad-request or other.
	Kind    string
	Message string
}

func (e *TransportError) Error() string { return e.Message }

// EffectUnknown tells whether the request may have had its effect all the same.
func (e *TransportError) EffectUnknown() bool {
	switch e.Kind {
	case "denied", "not-connected", "untrusted", "bad-request":
		return false
	}
	return true
}

// Connection is an endpoint that the operator bound to a role. Credentials are added by the host, on the wire.
type Connection struct {
	Endpoint
	host Host
	key  string
}

// Client is net/http's client through the host, for libraries that take one. Redirects are not followed.
func (c *Connection) Client() *http.Client {
	return &http.Client{
		Transport:     c.host,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// URL is the full address of a path, for example to show as a link.
func (c *Connection) URL(path string) string {
	if path != "" && !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return strings.TrimRight(c.BaseURL, "/") + path
}

// Path is a path of percent-encoded segments.
func Path(segments ...string) string {
	var path strings.Builder
	for _, segment := range segments {
		path.WriteString("/" + strings.ReplaceAll(url.QueryEscape(segment), "+", "%20"))
	}
	return path.String()
}

// Request is what is sent to a path below the connection's base URL.
type Request struct {
	// Method is GET unless given.
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	// JSON is a body as JSON, or …
	JSON any
	// … Form one as HTML's forms send it, or …
	Form url.Values
	// … Body any other.
	Body io.Reader
	// IdempotencyKey sends the operation's key in the header Idempotency-Key.
	IdempotencyKey bool
	// Accept are statuses besides 2xx that are no failure.
	Accept []int
}

// Do sends a request. A status that is not accepted, a denial or a lost connection is a [Failure] of the fitting class.
// The caller closes the response's body, as with net/http.
func (c *Connection) Do(request Request) (*http.Response, error) {
	method := request.Method
	if method == "" {
		method = http.MethodGet
	}
	address := c.URL(request.Path)
	if len(request.Query) > 0 {
		joint := "?"
		if strings.Contains(address, "?") {
			joint = "&"
		}
		address += joint + request.Query.Encode()
	}
	body := request.Body
	if request.JSON != nil {
		written, err := encode(request.JSON)
		if err != nil {
			return nil, Fail(Internal, "bad-request", "the body is no JSON: %v", err).Never()
		}
		body = bytes.NewReader(written)
	} else if request.Form != nil {
		body = strings.NewReader(request.Form.Encode())
	}
	made, err := http.NewRequestWithContext(context.Background(), method, address, body)
	if err != nil {
		return nil, Fail(Internal, "bad-request", "%s %s: %v", method, place(address), err).Never()
	}
	made.Header.Set("Accept", "application/json, */*;q=0.5")
	if request.JSON != nil {
		made.Header.Set("Content-Type", "application/json")
	} else if request.Form != nil {
		made.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if request.IdempotencyKey {
		made.Header.Set("Idempotency-Key", c.key)
	}
	for name, values := range request.Header {
		made.Header[http.CanonicalHeaderKey(name)] = values
	}
	response, err := c.Client().Do(made)
	if err != nil {
		return nil, transportFailure(method, address, err)
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	for _, status := range request.Accept {
		if status == response.StatusCode {
			return response, nil
		}
	}
	defer response.Body.Close()
	return nil, statusFailure(method, address, response)
}

// JSON sends a request and reads the answer; the failure names the field that is not as expected.
func (c *Connection) JSON(request Request, into any) error {
	response, err := c.Do(request)
	if err != nil {
		return err
	}
	return ReadJSON(response, into)
}

// ReadJSON reads and closes a response's body.
func ReadJSON(response *http.Response, into any) error {
	defer response.Body.Close()
	method, address := response.Request.Method, response.Request.URL.String()
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyBytesMax+1))
	if err != nil {
		return transportFailure(method, address, err)
	}
	if len(body) > bodyBytesMax {
		return Fail(Internal, "response-too-large", "the answer to %s %s has more than %d bytes", method, place(address), bodyBytesMax).Never()
	}
	if !json.Valid(body) {
		return Fail(Internal, "unexpected-response", "the answer to %s %s is not what was expected: %s", method, place(address), noJSON(response.Header.Get("Content-Type"), string(body)))
	}
	if err := decode(body, into, false); err != nil {
		return Fail(Internal, "unexpected-response", "the answer to %s %s is not what was expected: %v", method, place(address), err)
	}
	return nil
}

// noJSON is what came instead of JSON: a login page, a proxy's complaint.
func noJSON(kind, body string) string {
	if body == "" {
		return "it is empty"
	}
	if kind == "" {
		kind = "of no type"
	}
	beginning := []rune(strings.Join(strings.Fields(body[:min(len(body), 400)]), " "))
	return fmt.Sprintf("it is no JSON (%s) and begins with `%s`", kind, string(beginning[:min(len(beginning), 60)]))
}

func place(address string) string { before, _, _ := strings.Cut(address, "?"); return before }

func transportFailure(method, address string, err error) *Failure {
	var transport *TransportError
	if !errors.As(err, &transport) {
		transport = &TransportError{"other", err.Error()}
	}
	if transport.Kind == "denied" {
		return Fail(Forbidden, "request-denied", "the host denied %s %s: the action has to ask for it among the requests of its role, and the connection to allow it", method, place(address)).Never()
	}
	classes := map[string]Class{
		"not-connected": Transient, "untrusted": Unauthenticated, "interrupted": Transient,
		"timed-out": TimedOut, "too-large": Internal, "bad-request": Internal,
	}
	class, known := classes[transport.Kind]
	code := transport.Kind
	if !known {
		class, code = Transient, "transport"
	}
	failure := Fail(class, code, "%s %s: %s", method, place(address), transport.Message)
	failure.effectUnknown = transport.EffectUnknown()
	if class == Internal {
		return failure.Never()
	}
	return failure
}

func statusFailure(method, address string, response *http.Response) *Failure {
	status, hint := response.StatusCode, ""
	if status/100 == 3 {
		hint = " (redirects are not followed: is the connection's address right?)"
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, shownBytesMax))
	words := said(body)
	if words != "" {
		words = ": " + words
	}
	failure := Fail(classOf(status), fmt.Sprintf("http-%d", status), "%s %s was answered with %d%s%s", method, place(address), status, hint, words)
	failure.Detail("status", status)
	switch status {
	case 408, 500, 502, 504:
		// Something in between may answer for a server that has done the work.
		failure.effectUnknown = true
	}
	if failure.Class == RateLimited || failure.Class == Transient {
		if wait, ok := retryAfter(response.Header); ok {
			failure.After(wait)
		}
	}
	return failure
}

func classOf(status int) Class {
	switch status {
	case 400, 422:
		return Invalid
	case 401, 407:
		return Unauthenticated
	case 403:
		return Forbidden
	case 404, 410:
		return NotFound
	case 408, 504:
		return TimedOut
	case 409, 412, 423, 425:
		return Conflict
	case 429:
		return RateLimited
	case 501, 505:
		return Internal
	}
	if status >= 500 {
		return Transient
	}
	return Internal
}

// retryAfter reads seconds; a date asks for the wait between it and Date.
func retryAfter(header http.Header) (time.Duration, bool) {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(retryAfterMax/time.Second))) * time.Second, true
	}
	until, err := http.ParseTime(value)
	now, other := http.ParseTime(header.Get("Date"))
	if err != nil || other != nil {
		return 0, false
	}
	return max(0, min(until.Sub(now), retryAfterMax)), true
}

var (
	hidden = regexp.MustCompile(`(?is)<(script|style).*?(</(script|style)|$)`)
	markup = regexp.MustCompile(`<[^>]*>?`)
)

// said is what the body says, on one line: a JSON error's message, or text without markup.
func said(body []byte) string {
	text := strings.ToValidUTF8(string(body), "\uFFFD")
	var value any
	if err := json.Unmarshal(body, &value); err == nil {
		if text = messageOf(value); text == "" {
			written, _ := encode(value)
			text = string(written)
		}
	} else if strings.HasPrefix(strings.TrimSpace(text), "<") {
		text = markup.ReplaceAllString(hidden.ReplaceAllString(text, " <"), " ")
	}
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) > 500 {
		return string(line[:500]) + "…"
	}
	return string(line)
}

func messageOf(value any) string {
	of := func(it any) string {
		if text, ok := it.(string); ok {
			return text
		}
		object, _ := it.(map[string]any)
		var parts []string
		for _, name := range []string{"message", "detail", "error_description"} {
			if text, _ := object[name].(string); text != "" {
				parts = append(parts, text)
			}
		}
		return strings.Join(parts, " – ")
	}
	object, ok := value.(map[string]any)
	if !ok {
		return ""
	}
	if text := of(object["error"]); text != "" {
		return text
	}
	if text := of(object); text != "" {
		return text
	}
	if errors, _ := object["errors"].([]any); len(errors) > 0 {
		return of(errors[0])
	}
	return ""
}
