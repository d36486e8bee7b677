package windlass_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"windlass.dev/go"
	"windlass.dev/go/windlasstest"
)

type part struct {
	Name  *string `json:"name" min:"2"`
	Count int64   `json:"count" min:"0" max:"3" default:"1"`
}

type input struct {
	Mode  string            `json:"mode,omitempty" enum:"fast,slow" doc:"How."`
	Rate  float64           `json:"rate" default:"0.5"`
	On    bool              `json:"on,omitempty"`
	Parts []part            `json:"parts,omitempty" max:"2"`
	Tags  map[string]string `json:"tags,omitempty"`
}

// doing is a plugin with one action that does this.
func doing(action windlass.Action[input, any, any]) *windlasstest.Step {
	return windlasstest.NewStep(pluginOf(action), "act", map[string]any{})
}

func pluginOf(action windlass.Action[input, any, any]) *windlass.Plugin {
	action.Name, action.Description, action.Effect = "act", "Acts.", windlass.Read
	if action.Start == nil {
		action.Start = func(*windlass.Context, input) (any, error) { return nil, nil }
	}
	action.Connections = map[string]windlass.Role{"app": {Description: "The application.", Requests: []string{"GET,POST /a/**"}}}
	return &windlass.Plugin{Name: "test", Version: "1.0.0", Description: "Tests.", Actions: []windlass.AnyAction{action}}
}

func get(path string) *windlasstest.Step {
	return doing(windlass.Action[input, any, any]{Start: func(ctx *windlass.Context, _ input) (any, error) {
		app, err := ctx.Connection("app")
		if err != nil {
			return nil, err
		}
		var read struct {
			Name string `json:"name"`
		}
		err = app.JSON(windlass.Request{Path: path, Query: url.Values{"q": {"ä &"}}}, &read)
		return read, err
	}})
}

func host() *windlasstest.Host { return windlasstest.New("app", "https://app.test/base") }

func failure(t *testing.T, step *windlasstest.Step, host *windlasstest.Host) *windlass.Failure {
	t.Helper()
	_, err := step.Run(host)
	var failure *windlass.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("no failure: %v", err)
	}
	return failure
}

func same[T comparable](t *testing.T, got, expected T) {
	t.Helper()
	if got != expected {
		t.Fatalf("%v is not %v", got, expected)
	}
}

func TestTheManifestSaysWhatAnActionIsAndHas(t *testing.T) {
	plugin := pluginOf(windlass.Action[input, any, any]{
		Limits: windlass.Limits{CPU: 10 * time.Second},
		Find:   func(*windlass.Context, input) (any, error) { return nil, nil },
	})
	var manifest struct {
		Actions map[string]map[string]json.RawMessage `json:"actions"`
	}
	same(t, json.Unmarshal(plugin.Manifest(), &manifest), nil)
	act := manifest.Actions["act"]
	same(t, string(act["limits"]), `{"cpu_ms":10000}`)
	same(t, string(act["find"])+string(act["cancel"]), "truefalse")
	same(t, string(act["input"]), `{"additionalProperties":false,"properties":{`+
		`"mode":{"description":"How.","enum":["fast","slow"]},"on":{"type":"boolean"},`+
		`"parts":{"items":{"additionalProperties":false,"properties":{"count":{"default":1,"maximum":3,"minimum":0,"type":"integer"},`+
		`"name":{"minLength":2,"type":"string"}},"required":[],"type":"object"},"maxItems":2,"type":"array"},`+
		`"rate":{"default":0.5,"type":"number"},"tags":{"additionalProperties":{"type":"string"},"type":"object"}},`+
		`"required":[],"type":"object"}`)
}

func TestAFormIsSentAsFormsAre(t *testing.T) {
	host := host().Reply("POST /a/b", windlasstest.Status(204))
	step := doing(windlass.Action[input, any, any]{Start: func(ctx *windlass.Context, _ input) (any, error) {
		app, err := ctx.Connection("app")
		if err != nil {
			return nil, err
		}
		_, err = app.Do(windlass.Request{Method: "POST", Path: "/a/b", Form: url.Values{"x": {"y &"}, "n": {"7"}}})
		return nil, err
	}})
	_, err := step.Run(host)
	same(t, err, nil)
	request := host.Requests[len(host.Requests)-1]
	same(t, string(request.Body), "n=7&x=y+%26")
	same(t, request.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
}

// A pointer is a field that may be left out, and its schema takes no null.
func TestAnOutputLeavesOutAPointerThatIsNil(t *testing.T) {
	type part struct {
		Note *string `json:"note"`
	}
	type given struct {
		Before *string         `json:"before"`
		Parts  []part          `json:"parts"`
		By     map[string]part `json:"by"`
		Any    any             `json:"any"`
		Big    int64           `json:"big"`
	}
	note := "x"
	out := given{Parts: []part{{&note}, {}}, By: map[string]part{"a": {}}, Big: 1<<62 + 1}
	step := doing(windlass.Action[input, any, any]{Start: func(*windlass.Context, input) (any, error) { return out, nil }})
	answer, err := step.Start(host())
	same(t, err, nil)
	same(t, string(answer.Done), `{"parts":[{"note":"x"},{}],"by":{"a":{}},"any":null,"big":4611686018427387905}`)
}

func TestWhatIsNotAsItsTypeSaysNamesThePlace(t *testing.T) {
	plugin := pluginOf(windlass.Action[input, any, any]{})
	for text, message := range map[string]string{
		`7`:                          "7 is no object",
		`{"mode":"medium"}`:          `mode: "medium" is none of fast,slow`,
		`{"rate":"1"}`:               `rate: "1" is no number`,
		`{"on":1}`:                   "on: 1 is no boolean",
		`{"parts":[{"name":"ä"}]}`:   "parts[0].name: has less than 2 characters",
		`{"parts":[{},{"count":4}]}`: "parts[1].count: is more than 3",
		`{"parts":[{"count":1.5}]}`:  "parts[0].count: 1.5 is no integer",
		`{"parts":[{},{},{}]}`:       "parts: has more than 2 items",
		`{"tags":{"a":1}}`:           "tags.a: 1 is no string",
		`{"mdoe":"fast"}`:            "there is no field `mdoe`",
		`{"parts":[{"count":2.0}]}`:  "",
		`{"parts":[{"name":null}]}`:  "",
	} {
		err := plugin.Check("act", []byte(text), nil)
		if message == "" {
			same(t, err, nil)
		} else if err == nil || err.Error() != "the input: "+message {
			t.Errorf("%s: %v is not %s", text, err, message)
		}
	}
}

func TestStatusesBecomeFailuresOfTheClassThatAPolicyCanActOn(t *testing.T) {
	for status, class := range map[int]windlass.Class{
		302: windlass.Internal, 400: windlass.Invalid, 401: windlass.Unauthenticated, 403: windlass.Forbidden,
		404: windlass.NotFound, 405: windlass.Internal, 408: windlass.TimedOut, 409: windlass.Conflict, 422: windlass.Invalid,
		423: windlass.Conflict, 429: windlass.RateLimited, 500: windlass.Transient, 501: windlass.Internal,
		502: windlass.Transient, 503: windlass.Transient, 504: windlass.TimedOut, 599: windlass.Transient,
	} {
		same(t, failure(t, get("/a/b"), host().Reply("GET /a/b", windlasstest.Status(status))).Class, class)
	}
}

func TestTheMessageIsWhatTheServerSaidNeverTheQuery(t *testing.T) {
	for body, message := range map[string]string{
		`{"error":{"message":"No record","detail":"gone"}}`: "No record – gone",
		`{"message":"no"}`: "no",
		`{"error":"invalid_client","error_description":"who?"}`: "invalid_client",
		`{"errors":[{"message":"first"}]}`:                      "first",
		"<html><style>x{}</style><h1>HTTP  403</h1>No crumb":    "HTTP 403 No crumb",
		"plain\nwords": "plain words",
	} {
		failure := failure(t, get("/a/b"), host().Reply("GET /a/b", windlasstest.Text(404, body)))
		same(t, failure.Message, "GET https://app.test/base/a/b was answered with 404: "+message)
	}
}

func TestAServerThatAsksForTimeGetsIt(t *testing.T) {
	dates := []string{"Date", "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After", "Sun, 06 Nov 1994 08:50:00 GMT"}
	for _, it := range []struct {
		headers []string
		wait    time.Duration
	}{
		{[]string{"Retry-After", "7"}, 7 * time.Second},
		{dates, 23 * time.Second},
		{[]string{"Retry-After", "99999999999"}, 24 * time.Hour},
		{[]string{"Retry-After", "soon"}, 0},
	} {
		same(t, failure(t, get("/a/b"), host().Reply("GET /a/b", windlasstest.Status(429, it.headers...))).Wait, it.wait)
	}
}

func TestNoAnswerIsAFailureTooAndADenialIsNeverTriedAgain(t *testing.T) {
	denied := failure(t, get("/elsewhere"), host())
	same(t, denied.Code, "request-denied")
	same(t, denied.Advice, windlass.Never)
	same(t, failure(t, get("/a/b"), host().Reply("GET /a/b", windlasstest.Break("timed-out"))).Passes(), true)
	missing := failure(t, get("/a/b"), windlasstest.New())
	same(t, missing.Code, "connection-missing")
	same(t, missing.Message, "no connection is bound to the role `app`: a workflow's step names one in `connection`, a test gives its host one")
	misspelt := failure(t, doing(windlass.Action[input, any, any]{Start: func(ctx *windlass.Context, _ input) (any, error) {
		return ctx.Connection("apps")
	}}), host())
	same(t, misspelt.Code, "connection-missing")
	same(t, misspelt.Message, "the action has no role `apps`; it declares `app`")
	wrong := failure(t, get("/a/b"), host().Reply("GET /a/b", windlasstest.Text(200, `{"name":7}`)))
	same(t, wrong.Message, "the answer to GET https://app.test/base/a/b is not what was expected: name: 7 is no string")
}

func TestAFailedRequestSaysWhetherItMayHaveHadItsEffect(t *testing.T) {
	for kind, unknown := range map[string]bool{
		"interrupted": true, "timed-out": true, "too-large": true, "other": true,
		"denied": false, "not-connected": false, "untrusted": false, "bad-request": false,
	} {
		same(t, failure(t, get("/a/b"), host().Reply("GET /a/b", windlasstest.Break(kind))).EffectUnknown(), unknown)
		err := error(&url.Error{Err: &windlass.TransportError{Kind: kind}})
		var transport *windlass.TransportError
		same(t, errors.As(err, &transport), true)
		same(t, transport.EffectUnknown(), unknown)
	}
	for _, status := range []int{302, 400, 404, 408, 409, 429, 500, 501, 502, 503, 504, 599} {
		unknown := status == 408 || status == 500 || status == 502 || status == 504
		same(t, failure(t, get("/a/b"), host().Reply("GET /a/b", windlasstest.Status(status))).EffectUnknown(), unknown)
	}
	same(t, windlass.Fail(windlass.TimedOut, "timed-out", "no request").EffectUnknown(), false)
}

func TestARequestWithoutAnAnswerSaysWhatThereIs(t *testing.T) {
	without := func(host *windlasstest.Host, why string) {
		t.Helper()
		_, said, _ := strings.Cut(failure(t, get("/a/b"), host).Message, ": ")
		same(t, said, "the host of the test has no answer to GET /a/b?q=%C3%A4+%26: "+why)
	}
	without(host(), "none was scripted")
	without(host().Reply("POST /a/b", windlasstest.Status(201)).Reply("GET /a/c", windlasstest.Status(200)), "there is GET /a/c, POST /a/b")
	once := host().Reply("GET /a/b", windlasstest.Text(200, `{"name":"x"}`))
	_, err := get("/a/b").Run(once)
	same(t, err, nil)
	without(once, "each Reply is given once, and all were; Server answers what none is left for")
	slash := windlasstest.New("app", "https://app.test/").Reply("GET /a/b", windlasstest.Text(200, `{"name":"x"}`))
	_, err = get("/a/b").Run(slash)
	same(t, err, nil)
	elsewhere, err := http.NewRequest("GET", "https://app.testing/a", nil)
	same(t, err, nil)
	_, err = host().RoundTrip(elsewhere)
	same(t, err.Error(), "https://app.testing/a is below no connection: there is `app` at https://app.test/base")
}

func TestRequestsAreAsWritten(t *testing.T) {
	same(t, windlass.Path("a", "b/c d"), "/a/b%2Fc%20d")
	host := host().Reply("GET /a/b", windlasstest.Text(200, `{"name":"x","more":1}`))
	output, err := get("/a/b").Run(host)
	same(t, err, nil)
	same(t, output, `{"name":"x"}`)
	same(t, host.Requests[0].Query.Get("q"), "ä &")
}

func TestACheckpointIsDoneOnceAndAnErrorIsNotRecorded(t *testing.T) {
	times := 0
	counted := doing(windlass.Action[input, any, any]{Start: func(ctx *windlass.Context, _ input) (any, error) {
		return windlass.Checkpoint(ctx, "part", func() (int, error) {
			times++
			if times == 1 {
				return 0, windlass.Fail(windlass.Transient, "lost", "the answer was lost")
			}
			return times, nil
		})
	}})
	host := host()
	same(t, failure(t, counted, host).Code, "lost")
	for range 2 {
		output, err := counted.Run(host)
		same(t, err, nil)
		same(t, output, "2")
	}
}

func TestCancelAndRollbackMayWaitToo(t *testing.T) {
	wait := windlass.Wait{After: time.Second, Status: "waits"}
	patient := doing(windlass.Action[input, any, any]{
		Start:  func(*windlass.Context, input) (any, error) { return nil, windlass.Suspend("begun", wait) },
		Resume: func(_ *windlass.Context, _ input, state any, _ windlass.Event) (any, error) { return state, nil },
		Cancel: func(ctx *windlass.Context, _ input, state *any) (any, error) {
			return nil, windlass.Suspend([]any{"cancel", *state}, windlass.Wait{At: ctx.Now().Add(time.Hour), Status: "waits"})
		},
		ResumeCancel: func(ctx *windlass.Context, _ input, state any, _ windlass.Event) (any, error) {
			return []any{state, ctx.Now().Hour()}, nil
		},
		Rollback: func(*windlass.Context, input, *any) (any, error) { return nil, windlass.Suspend("back", wait) },
		ResumeRollback: func(_ *windlass.Context, _ input, output *any, state any, _ windlass.Event) (any, error) {
			return []any{state, *output}, nil
		},
	})
	host := host()
	answer, err := patient.Start(host)
	same(t, err, nil)
	ended, err := patient.Cancel(host, answer.Suspended)
	same(t, err, nil)
	same(t, ended, `[["cancel","begun"],10]`)
	ended, err = patient.Rollback(host, `"out"`)
	same(t, err, nil)
	same(t, ended, `["back","out"]`)
}

func TestWhatWaitsAndCouldNeverGoOnFailsWhereItSuspends(t *testing.T) {
	wait := windlass.Suspend(nil, windlass.Wait{After: time.Second, Status: "waits"})
	stuck := doing(windlass.Action[input, any, any]{
		Start:    func(*windlass.Context, input) (any, error) { return nil, wait },
		Cancel:   func(*windlass.Context, input, *any) (any, error) { return nil, wait },
		Rollback: func(*windlass.Context, input, *any) (any, error) { return nil, wait },
		Find:     func(*windlass.Context, input) (any, error) { return nil, wait },
	})
	_, started := stuck.Start(host())
	_, canceled := stuck.Cancel(host(), nil)
	_, rolledBack := stuck.Rollback(host(), "")
	_, _, found := stuck.Find(host())
	for said, err := range map[string]error{
		"suspends in Start but has no Resume": started, "suspends in Cancel but has no ResumeCancel": canceled,
		"suspends in Rollback but has no ResumeRollback": rolledBack, "suspends in Find but has no Resume": found,
	} {
		var failure *windlass.Failure
		same(t, errors.As(err, &failure), true)
		by := said[strings.LastIndex(said, " ")+1:]
		same(t, failure.Message, "`act` "+said+": it could never go on; add `"+by+"` to the action, the function that gets the state")
		same(t, failure.Class, windlass.Internal)
		same(t, failure.Code, "never-suspends")
		same(t, failure.Advice, windlass.Never)
	}
	_, err := stuck.Resume(host(), &windlass.Suspension{Encoded: []byte("null")}, windlass.Event{})
	same(t, err.Error(), "never-suspends (internal): `act` waited, and has no Resume to go on with: add `Resume` to the action, the function that gets the state")
}

type state struct {
	ID    string   `json:"id"`
	Items []string `json:"items,omitempty"`
}

func (s *state) items() []string { return nil }

// waiting is a step that suspends with what is given, in start and in all other operations.
func waiting[State any](given any) *windlasstest.Step {
	wait := windlass.Suspend(given, windlass.Wait{After: time.Second, Status: "waits"})
	act := windlass.Action[struct{}, any, State]{
		Name: "act", Description: "Acts.", Effect: windlass.Read,
		Start:          func(*windlass.Context, struct{}) (any, error) { return nil, wait },
		Resume:         func(*windlass.Context, struct{}, State, windlass.Event) (any, error) { return "done", nil },
		Rollback:       func(*windlass.Context, struct{}, *any) (any, error) { return nil, wait },
		ResumeRollback: func(*windlass.Context, struct{}, *any, State, windlass.Event) (any, error) { return "done", nil },
	}
	plugin := &windlass.Plugin{Name: "test", Version: "1.0.0", Description: "Tests.", Actions: []windlass.AnyAction{act}}
	return windlasstest.NewStep(plugin, "act", struct{}{})
}

func TestAStateOfAnotherTypeIsToldWhereItSuspends(t *testing.T) {
	type kept struct {
		Items []string `json:"items"`
	}
	for said, step := range map[string]*windlasstest.Step{
		"a state that is string, but its State is windlass_test.state: \"j-1\" is no object":                  waiting[state]("j-1"),
		"a state that is nil, but its State is windlass_test.state: null is no object":                        waiting[state](nil),
		"a state that is windlass_test.part, but its State is windlass_test.state: the field `id` is missing": waiting[state](part{}),
		"a state that is windlass_test.state, but its State is struct {}: there is no field `id`":             waiting[struct{}](state{ID: "j-1"}),
		"a state that is map[string]int, but its State is windlass_test.state: id: 7 is no string":            waiting[state](map[string]int{"id": 7}),
		"a state that cannot be read again: items: null is no array":                                          waiting[kept](kept{}),
	} {
		failed := failure(t, step, host())
		same(t, failed.Message, "`act` suspends in Start with "+said)
		same(t, failed.Code, "state")
		same(t, failed.Advice, windlass.Never)
		_, err := step.Rollback(host(), "")
		same(t, err.Error(), "state (internal): `act` suspends in Rollback with "+said)
	}
	for _, step := range []*windlasstest.Step{
		waiting[state](state{ID: "j-1"}), waiting[state](&state{ID: "j-1", Items: []string{"x"}}), waiting[state](map[string]string{"id": "j-1"}),
		waiting[struct{}](struct{}{}), waiting[any](nil), waiting[any]("j-1"), waiting[*state](nil),
	} {
		output, err := step.Run(host())
		same(t, err, nil)
		same(t, output, `"done"`)
	}
}

func TestFaultsOfThePluginAreFailures(t *testing.T) {
	for code, start := range map[string]func(*windlass.Context, input) (any, error){
		"panic":      func(*windlass.Context, input) (any, error) { panic("oh") },
		"error":      func(*windlass.Context, input) (any, error) { return nil, errors.New("oh") },
		"no-wakes":   func(*windlass.Context, input) (any, error) { return nil, windlass.Suspend(nil, windlass.Wait{}) },
		"unwritable": func(*windlass.Context, input) (any, error) { return func() {}, nil },
		"state-too-large": func(*windlass.Context, input) (any, error) {
			return nil, windlass.Suspend(strings.Repeat("x", 70_000), windlass.Wait{After: time.Second})
		},
	} {
		same(t, failure(t, doing(windlass.Action[input, any, any]{Start: start}), host()).Code, code)
	}
}

// lineOf is where this text is in this file, once: windlass_test.go:48.
func lineOf(t *testing.T, text string) string {
	t.Helper()
	source, err := os.ReadFile("windlass_test.go")
	same(t, err, nil)
	before, _, found := strings.Cut(string(source), text)
	same(t, found, true)
	return fmt.Sprintf("windlass_test.go:%d", strings.Count(before, "\n")+1)
}

func TestAPanicTellsTheLineOfTheAuthorsFile(t *testing.T) {
	var nothing *state
	for mark, start := range map[string]func(*windlass.Context, input) (any, error){
		"own": func(*windlass.Context, input) (any, error) {
			return nothing.ID, nil // own line
		},
		"library's": func(*windlass.Context, input) (any, error) {
			return strings.Repeat("x", len(nothing.items())-1), nil // library's line
		},
		"SDK's": func(ctx *windlass.Context, _ input) (any, error) {
			app, err := ctx.Connection("app")
			same(t, err, nil)
			return app.Do(windlass.Request{Path: "/a/b"}) // SDK's line
		},
		"part's": func(ctx *windlass.Context, _ input) (any, error) {
			return windlass.Once(ctx, "part", func() (string, error) {
				return nothing.ID, nil // part's line
			})
		},
	} {
		failed := failure(t, doing(windlass.Action[input, any, any]{Start: start}), host())
		same(t, failed.Code, "panic")
		before, _, _ := strings.Cut(failed.Message, ": ")
		same(t, before, "the plugin panicked at "+lineOf(t, "// "+mark+" line"))
	}
}

func TestAFailureIsPrintedWithCodeAndClassAndRecordedWithEachOnItsOwn(t *testing.T) {
	made := windlass.Fail(windlass.Rejected, "no-room", "there is no room").Never()
	same(t, made.Error(), "no-room (rejected): there is no room")
	failed := failure(t, doing(windlass.Action[input, any, any]{Start: func(*windlass.Context, input) (any, error) {
		return nil, fmt.Errorf("around it: %w", made)
	}}), host())
	same(t, failed.Code, "no-room")
	same(t, failed.Class, windlass.Rejected)
	same(t, failed.Message, "there is no room")
}

func TestASuspensionThatIsNotReturnedIsAFailure(t *testing.T) {
	wait := windlass.Wait{After: time.Second, Status: "waits"}
	helper := func() error {
		return windlass.Suspend(nil, wait) // helper's line
	}
	forgetful := doing(windlass.Action[input, any, any]{
		Start: func(*windlass.Context, input) (any, error) {
			_ = windlass.Suspend(nil, wait) // forgotten line
			return nil, nil
		},
		Rollback:       func(*windlass.Context, input, *any) (any, error) { _ = helper(); return nil, nil },
		ResumeRollback: func(*windlass.Context, input, *any, any, windlass.Event) (any, error) { return nil, nil },
		Find:           func(*windlass.Context, input) (any, error) { _ = helper(); return nil, windlass.ErrNotFound },
	})
	failed := failure(t, forgetful, host())
	same(t, failed.Message, "`act` suspended in Start ("+lineOf(t, "// forgotten line")+") and then returned nil: return what Suspend gives")
	same(t, failed.Code, "not-returned")
	same(t, failed.Advice, windlass.Never)
	_, err := forgetful.Rollback(host(), "")
	same(t, err.Error(), "not-returned (internal): `act` suspended in Rollback ("+lineOf(t, "// helper's line")+") and then returned nil: return what Suspend gives")
	// Another error says what became of the step, and what is made outside of a call is nobody's.
	_, found, err := forgetful.Find(host())
	same(t, err, nil)
	same(t, found, false)
	failed = failure(t, doing(windlass.Action[input, any, any]{Start: func(*windlass.Context, input) (any, error) {
		_ = helper()
		return nil, windlass.Fail(windlass.Rejected, "no-room", "there is no room")
	}}), host())
	same(t, failed.Code, "no-room")
	_ = helper()
	output, err := doing(windlass.Action[input, any, any]{}).Run(host())
	same(t, err, nil)
	same(t, output, "null")
}

func TestASuspensionIsThatOfItsOwnCall(t *testing.T) {
	wait := func() error { return windlass.Suspend(nil, windlass.Wait{After: time.Second, Status: "waits"}) }
	waits := func(before func()) *windlasstest.Step {
		return doing(windlass.Action[input, any, any]{
			Start:  func(*windlass.Context, input) (any, error) { before(); return nil, wait() },
			Resume: func(*windlass.Context, input, any, windlass.Event) (any, error) { return "done", nil },
		})
	}
	done := func(acts func()) *windlasstest.Step {
		return doing(windlass.Action[input, any, any]{Start: func(*windlass.Context, input) (any, error) { acts(); return "done", nil }})
	}
	// One call within another.
	within := func() { _, _ = waits(func() {}).Start(host()) }
	output, err := done(within).Run(host())
	same(t, err, nil)
	same(t, output, `"done"`)
	same(t, failure(t, done(func() { _ = wait(); within() }), host()).Code, "not-returned")
	same(t, failure(t, done(func() { within(); _ = wait() }), host()).Code, "not-returned")
	// One beside another, which began before it and suspends in the midst of it.
	begun, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := waits(func() { close(begun); <-goOn }).Start(host())
		ended <- err
	}()
	<-begun
	output, err = done(func() { close(goOn); same(t, <-ended, nil) }).Run(host())
	same(t, err, nil)
	same(t, output, `"done"`)
}

func TestAWaitThatNothingEndsOrThatIsNoneSaysWhatToWrite(t *testing.T) {
	for _, it := range []struct {
		wait       windlass.Wait
		code, said string
	}{
		{windlass.Wait{Status: "waits"}, "no-wakes", "`act` suspended in Start without saying what wakes it: give the Wait `After`, `At` or `Callback`"},
		{windlass.Wait{After: 2}, "wait", "`act` suspended in Start with `After` 2ns: write for example 2 * time.Second"},
		{windlass.Wait{At: time.Now(), After: -time.Second}, "wait", "`act` suspended in Start with `After` -1s: write for example 2 * time.Second"},
		{windlass.Wait{After: time.Millisecond}, "", ""},
	} {
		step := doing(windlass.Action[input, any, any]{
			Start:  func(*windlass.Context, input) (any, error) { return nil, windlass.Suspend(nil, it.wait) },
			Resume: func(*windlass.Context, input, any, windlass.Event) (any, error) { return nil, nil },
		})
		if it.code == "" {
			_, err := step.Run(host())
			same(t, err, nil)
			continue
		}
		failed := failure(t, step, host())
		same(t, failed.Code, it.code)
		same(t, failed.Message, it.said)
		same(t, failed.Advice, windlass.Never)
	}
}
