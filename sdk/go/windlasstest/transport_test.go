package windlasstest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"windlass.dev/go"
	"windlass.dev/go/windlasstest"
)

// asking is a step that uses http.Get for an address in all of its operations, and gives what came.
func asking(address string) *windlasstest.Step { return askingAfter(address, false) }

// askingAfter is the same, where start may wait and resume asks.
func askingAfter(address string, waits bool) *windlasstest.Step {
	ask := func() (any, error) {
		response, err := http.Get(address)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	type none = struct{}
	act := windlass.Action[none, any, none]{
		Name: "act", Description: "Acts.", Effect: windlass.Write,
		Connections: map[string]windlass.Role{"app": {Requests: []string{"GET /a/*"}}},
		Start:       func(*windlass.Context, none) (any, error) { return ask() },
		Resume:      func(*windlass.Context, none, none, windlass.Event) (any, error) { return ask() },
		Cancel:      func(*windlass.Context, none, *none) (any, error) { return ask() },
		Rollback:    func(*windlass.Context, none, *any) (any, error) { return ask() },
		Find:        func(*windlass.Context, none) (any, error) { return ask() },
	}
	if waits {
		act.Start = func(*windlass.Context, none) (any, error) {
			return nil, windlass.Suspend(none{}, windlass.Wait{After: time.Second, Status: "waits"})
		}
	}
	plugin := &windlass.Plugin{Name: "test", Version: "1.0.0", Actions: []windlass.AnyAction{act}}
	return windlasstest.NewStep(plugin, "act", none{})
}

// server is a real one, which counts what reaches it.
func server(t *testing.T) (address string, asked *int) {
	t.Helper()
	asked = new(int)
	it := httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, _ *http.Request) {
		*asked++
		_, _ = io.WriteString(writer, "real")
	}))
	t.Cleanup(it.Close)
	return it.URL, asked
}

func TestWhatAPluginAsksNetHTTPForReachesTheHostOfTheTestAlone(t *testing.T) {
	address, asked := server(t)
	host := windlasstest.New("app", "https://app.test")
	step := asking(address + "/a/b")
	suspended := &windlass.Suspension{Encoded: []byte("{}")}
	operations := map[string]func() error{
		"start":    func() error { _, err := step.Start(host); return err },
		"follow":   func() error { _, err := askingAfter(address+"/a/b", true).Run(host); return err },
		"resume":   func() error { _, err := step.Resume(host, suspended, windlass.Event{}); return err },
		"cancel":   func() error { _, err := step.Cancel(host, nil); return err },
		"rollback": func() error { _, err := step.Rollback(host, ""); return err },
		"find":     func() error { _, _, err := step.Find(host); return err },
	}
	for name, operation := range operations {
		err := operation()
		said := address + "/a/b is below no connection: there is `app` at https://app.test; a plugin reaches nothing else: `ctx.Connection(role)`, or its `Client()` for a library that takes a *http.Client"
		if err == nil || !strings.HasSuffix(err.Error(), said) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if *asked != 0 {
		t.Fatalf("the network was reached %d times", *asked)
	}
	// A test's own requests are the test's.
	if response, err := http.Get(address); err != nil || response.StatusCode != http.StatusOK || *asked != 1 {
		t.Fatal(err)
	}
}

func TestBelowAConnectionNetHTTPIsAnsweredAsTheConnectionIs(t *testing.T) {
	host := windlasstest.New("app", "https://app.test").Reply("GET /a/b", windlasstest.Text(200, "scripted"))
	output, err := asking("https://app.test/a/b?q=1").Run(host)
	if err != nil || output != `"scripted"` || host.Requests[0].Query.Get("q") != "1" {
		t.Fatal(output, err)
	}
	if _, err := asking("https://app.test/b").Run(host); err == nil || !strings.HasSuffix(err.Error(), "the manifest does not ask for GET /b") {
		t.Fatal(err)
	}
}

func TestAServerOfTheTestMayReachTheNetwork(t *testing.T) {
	address, asked := server(t)
	host := windlasstest.New("app", "https://app.test")
	host.Server = func(windlasstest.Request) *windlasstest.Reply {
		response, err := http.Get(address)
		if err != nil {
			t.Error(err)
			return nil
		}
		response.Body.Close()
		reply := windlasstest.Text(response.StatusCode, "through it")
		return &reply
	}
	output, err := asking("https://app.test/a/b").Run(host)
	if err != nil || output != `"through it"` || *asked != 1 {
		t.Fatal(output, err, *asked)
	}
}

func TestOfTestsInParallelTheHostThatHasTheConnectionIsAsked(t *testing.T) {
	// The call of one step in another's stands for two that run at a time.
	type none = struct{}
	meanwhile := func(other *windlasstest.Host, ask func()) {
		act := windlass.Action[none, none, none]{
			Name: "act", Description: "Acts.", Effect: windlass.Read, Start: func(*windlass.Context, none) (none, error) { ask(); return none{}, nil },
		}
		plugin := &windlass.Plugin{Name: "test", Version: "1.0.0", Actions: []windlass.AnyAction{act}}
		if _, err := windlasstest.NewStep(plugin, "act", none{}).Run(other); err != nil {
			t.Error(err)
		}
	}
	host := windlasstest.New("app", "https://app.test").Reply("GET /a/b", windlasstest.Text(200, "scripted"))
	meanwhile(windlasstest.New("app", "https://other.test"), func() {
		output, err := asking("https://app.test/a/b").Run(host)
		if err != nil || output != `"scripted"` {
			t.Error(output, err)
		}
	})
	meanwhile(windlasstest.New("app", "https://app.test"), func() {
		_, err := asking("https://app.test/a/b").Run(host)
		if err == nil || !strings.Contains(err.Error(), "cannot tell for which of them https://app.test/a/b is: `ctx.Connection(role)`") {
			t.Error(err)
		}
	})
}
