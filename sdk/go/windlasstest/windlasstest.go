// Package windlasstest is a host for a plugin's own tests, and a step that goes through it.
//
// Nothing here is a sandbox or a network: answers are scripted, time only moves when a test or a wake moves it. What the real
// host checks is checked here too: requests against the manifest's roles, inputs and outputs against the types.
package windlasstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"windlass.dev/go"
)

// Reply is a scripted answer to one request.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
	// Kind is why there is no answer: interrupted, timed-out, not-connected, …
	Kind string
}

// Status is a status without a body; headers are names and values in turn.
func Status(status int, headers ...string) Reply {
	reply := Reply{Status: status, Header: http.Header{}}
	for at := 0; at+1 < len(headers); at += 2 {
		reply.Header.Set(headers[at], headers[at+1])
	}
	return reply
}

// JSON is a JSON answer.
func JSON(status int, body any) Reply {
	written, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return Reply{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: written}
}

// Text is a text answer.
func Text(status int, body string) Reply {
	return Reply{Status: status, Header: http.Header{}, Body: []byte(body)}
}

// Break is no answer, for this reason.
func Break(kind string) Reply { return Reply{Kind: kind} }

// Request is a request that the host saw.
type Request struct {
	// Route is METHOD /path, below the base URL and without the query.
	Route  string
	Query  url.Values
	Header http.Header
	Body   []byte
}

// Line is a line of the log.
type Line struct {
	Level, Message string
	Fields         []windlass.Detail
}

// Host answers as a test scripts; it stands at 2026-01-05 09:00 UTC.
type Host struct {
	// Connections are base URLs by role.
	Connections map[string]string
	// WithoutCallbacks is as of an installation that takes none from the network.
	WithoutCallbacks bool
	// Server answers what no reply is left for; nil means that nothing was expected.
	Server func(Request) *Reply

	Requests    []Request
	Lines       []Line
	Links       []windlass.Detail
	LastStatus  string
	LastPercent int

	replies     map[string][]Reply
	checkpoints map[string][]byte
	callbacks   int
	passed      time.Duration
	grants      map[string][]rule
	serving     int
}

type rule struct {
	Methods []string `json:"methods"`
	Path    string   `json:"path"`
}

// New is a host with these connections: roles and base URLs in turn.
func New(connections ...string) *Host {
	host := &Host{Connections: map[string]string{}, replies: map[string][]Reply{}, checkpoints: map[string][]byte{}, LastPercent: -1}
	for at := 0; at+1 < len(connections); at += 2 {
		host.Connections[connections[at]] = strings.TrimRight(connections[at+1], "/")
	}
	return host
}

// Reply scripts the next answer to METHOD /path.
func (h *Host) Reply(route string, reply Reply) *Host {
	h.replies[route] = append(h.replies[route], reply)
	return h
}

// Advance lets time pass.
func (h *Host) Advance(time time.Duration) { h.passed += time }

// Count is how many requests went to METHOD /path.
func (h *Host) Count(route string) int {
	count := 0
	for _, it := range h.Requests {
		if it.Route == route {
			count++
		}
	}
	return count
}

// Log is what the SDK asks of a host.
func (h *Host) Log(level, message string, fields []windlass.Detail) {
	h.Lines = append(h.Lines, Line{level, message, fields})
	for _, field := range fields {
		if field.Name == windlass.Unnamed {
			panic(fmt.Sprintf("the line `%s` of the log has the value %q without a name: write for example ctx.Log.Info(\"asked\", \"id\", id), names and values in turn", message, field.Value))
		}
	}
}

// Status is what the SDK asks of a host.
func (h *Host) Status(text string) { h.LastStatus = text }

// Percent is what the SDK asks of a host.
func (h *Host) Percent(value uint8) { h.LastPercent = int(value) }

// Link is what the SDK asks of a host.
func (h *Host) Link(title, url string) {
	h.Links = append(h.Links, windlass.Detail{Name: title, Value: url})
}

// Now is what the SDK asks of a host.
func (h *Host) Now() time.Time { return time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC).Add(h.passed) }

// Connection is what the SDK asks of a host.
func (h *Host) Connection(role string) *windlass.Endpoint {
	if base, ok := h.Connections[role]; ok {
		return &windlass.Endpoint{Name: role + "-test", BaseURL: base}
	}
	return nil
}

// Begin is what the SDK asks of a host.
func (h *Host) Begin(name string) ([]byte, windlass.Slot) {
	if recorded, ok := h.checkpoints[name]; ok {
		return recorded, nil
	}
	return nil, slot{h, name}
}

type slot struct {
	host *Host
	name string
}

func (s slot) Finish(value []byte) {
	if len(value) > 65_536 {
		panic("a checkpoint holds at most 64 KiB")
	}
	s.host.checkpoints[s.name] = value
}

func (s slot) Drop() {}

// Callback is what the SDK asks of a host.
func (h *Host) Callback() windlass.Callback {
	h.callbacks++
	callback := windlass.Callback{Topic: topic(h.callbacks)}
	if !h.WithoutCallbacks {
		callback.URL = "https://windlass.test/callbacks/" + callback.Topic
	}
	return callback
}

func topic(n int) string { return fmt.Sprintf("topic-%d", n) }

// made tells whether this host has made a callback.
func (h *Host) made(callback string) bool {
	for n := range h.callbacks {
		if topic(n+1) == callback {
			return true
		}
	}
	return false
}

// RoundTrip is what the SDK asks of a host.
func (h *Host) RoundTrip(request *http.Request) (*http.Response, error) {
	address := request.URL.String()
	for role, base := range h.Connections {
		rest, below := restBelow(address, base)
		if !below {
			continue
		}
		path, query, _ := strings.Cut(rest, "?")
		if !h.granted(role, request.Method, path) {
			return nil, &windlass.TransportError{Kind: "denied", Message: "the manifest does not ask for " + request.Method + " " + path}
		}
		return h.answer(request, path, query)
	}
	return nil, &windlass.TransportError{Kind: "denied", Message: address + " is below no connection: " + h.bound()}
}

func (h *Host) granted(role, method, path string) bool {
	for _, rule := range h.grants[role] {
		for _, granted := range rule.Methods {
			if granted == method && matches(strings.Split(rule.Path, "/"), strings.Split(path, "/")) {
				return true
			}
		}
	}
	return false
}

func (h *Host) answer(request *http.Request, path, query string) (*http.Response, error) {
	seen := Request{Route: request.Method + " " + path, Header: request.Header}
	seen.Query, _ = url.ParseQuery(query)
	if request.Body != nil {
		seen.Body, _ = io.ReadAll(request.Body)
	}
	h.Requests = append(h.Requests, seen)
	var reply *Reply
	if scripted := h.replies[seen.Route]; len(scripted) > 0 {
		reply, h.replies[seen.Route] = &scripted[0], scripted[1:]
	} else if h.Server != nil {
		reply = h.serve(seen)
	}
	if reply == nil {
		if query != "" {
			query = "?" + query
		}
		panic(fmt.Sprintf("the host of the test has no answer to %s%s: %s", seen.Route, query, h.scripted(seen.Route)))
	}
	if reply.Kind != "" {
		return nil, &windlass.TransportError{Kind: reply.Kind, Message: "scripted: " + reply.Kind}
	}
	return &http.Response{
		StatusCode: reply.Status, Header: reply.Header, Body: io.NopCloser(bytes.NewReader(reply.Body)), Request: request,
	}, nil
}

// scripted is why there is no answer, and what there is.
func (h *Host) scripted(route string) string {
	if _, ok := h.replies[route]; ok {
		return "each Reply is given once, and all were; Server answers what none is left for"
	}
	if len(h.replies) == 0 {
		return "none was scripted"
	}
	return "there is " + strings.Join(slices.Sorted(maps.Keys(h.replies)), ", ")
}

func (h *Host) bound() string {
	var known []string
	for role, base := range h.Connections {
		known = append(known, "`"+role+"` at "+base)
	}
	if known == nil {
		return "the host of the test has none"
	}
	slices.Sort(known)
	return "there is " + strings.Join(known, ", ")
}

// matches is as the manifest says: a star within one segment, two for any number of segments.
func matches(pattern, path []string) bool {
	if len(pattern) == 0 {
		return len(path) == 0
	}
	if pattern[0] == "**" {
		for taken := 0; taken <= len(path); taken++ {
			if matches(pattern[1:], path[taken:]) {
				return true
			}
		}
		return false
	}
	return len(path) > 0 && segment(pattern[0], path[0]) && matches(pattern[1:], path[1:])
}

func segment(pattern, text string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, before)
	for ok && rest != "" {
		if segment(after, rest) {
			return true
		}
		rest = rest[1:]
	}
	return ok && segment(after, rest)
}
