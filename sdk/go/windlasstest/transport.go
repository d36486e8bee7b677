package windlasstest

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	"windlass.dev/go"
)

// What goes to http.DefaultTransport while a step is called – http.Get, and libraries that know only net/http – goes to the
// host of the test, as it goes to the host in a component. Without that a plugin's own test would reach the network.

func init() {
	http.DefaultTransport = &defaultTransport{outside: http.DefaultTransport}
}

// calling are the hosts of the calls that run: several, where tests run in parallel.
var calling struct {
	sync.Mutex
	hosts []*Host
}

// enter takes the host for what goes to http.DefaultTransport, until the function that it gives is called.
func (h *Host) enter() (leave func()) {
	calling.Lock()
	defer calling.Unlock()
	calling.hosts = append(calling.hosts, h)
	return func() {
		calling.Lock()
		defer calling.Unlock()
		at := slices.Index(calling.hosts, h)
		calling.hosts = slices.Delete(calling.hosts, at, at+1)
	}
}

// serve asks the test's own server, whose requests are not the plugin's.
func (h *Host) serve(seen Request) *Reply {
	count := func(by int) {
		calling.Lock()
		defer calling.Unlock()
		h.serving += by
	}
	count(1)
	defer count(-1)
	return h.Server(seen)
}

// defaultTransport is what http.DefaultTransport is in tests. Outside of a step's calls it is what it was: a test may have a
// server of its own.
type defaultTransport struct{ outside http.RoundTripper }

func (t *defaultTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	calling.Lock()
	hosts := slices.DeleteFunc(slices.Clone(calling.hosts), func(host *Host) bool { return host.serving > 0 })
	calling.Unlock()
	if len(hosts) == 0 {
		return t.outside.RoundTrip(request)
	}
	address := request.URL.String()
	near := slices.DeleteFunc(slices.Clone(hosts), func(host *Host) bool { return !host.reaches(address) })
	if len(near) == 0 {
		return nil, denied(address + " is below no connection: " + hosts[0].bound() + "; a plugin reaches nothing else: " + instead)
	}
	if slices.ContainsFunc(near, func(host *Host) bool { return host != near[0] }) {
		return nil, denied("several tests run, and http.DefaultTransport cannot tell for which of them " + address + " is: " + instead)
	}
	return near[0].RoundTrip(request)
}

const instead = "`ctx.Connection(role)`, or its `Client()` for a library that takes a *http.Client"

func denied(message string) error { return &windlass.TransportError{Kind: "denied", Message: message} }

func (h *Host) reaches(address string) bool {
	for _, base := range h.Connections {
		if _, below := restBelow(address, base); below {
			return true
		}
	}
	return false
}

// restBelow is what of an address is below a base URL.
func restBelow(address, base string) (rest string, below bool) {
	rest, below = strings.CutPrefix(address, base)
	return rest, below && (rest == "" || strings.ContainsRune("/?", rune(rest[0])))
}
