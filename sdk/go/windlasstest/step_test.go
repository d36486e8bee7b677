package windlasstest_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"windlass.dev/go"
	"windlass.dev/go/windlasstest"
)

type output struct {
	Count int `json:"count" max:"3"`
}

type state struct {
	Topic string `json:"topic"`
}

// stepOf is a step whose operations all act so.
func stepOf(acts func(*windlass.Context, state) (output, error)) *windlasstest.Step {
	type none = struct{}
	ends := func(ctx *windlass.Context, of state) (any, error) { return acts(ctx, of) }
	act := windlass.Action[none, output, state]{
		Name: "act", Description: "Acts.", Effect: windlass.Write,
		Start:    func(ctx *windlass.Context, _ none) (output, error) { return acts(ctx, state{}) },
		Resume:   func(ctx *windlass.Context, _ none, of state, _ windlass.Event) (output, error) { return acts(ctx, of) },
		Find:     func(ctx *windlass.Context, _ none) (output, error) { return acts(ctx, state{}) },
		Cancel:   func(ctx *windlass.Context, _ none, _ *state) (any, error) { return ends(ctx, state{}) },
		Rollback: func(ctx *windlass.Context, _ none, _ *output) (any, error) { return ends(ctx, state{}) },
		ResumeCancel: func(ctx *windlass.Context, _ none, of state, _ windlass.Event) (any, error) {
			return ends(ctx, of)
		},
		ResumeRollback: func(ctx *windlass.Context, _ none, _ *output, of state, _ windlass.Event) (any, error) {
			return ends(ctx, of)
		},
	}
	plugin := &windlass.Plugin{Name: "test", Version: "1.0.0", Actions: []windlass.AnyAction{act}}
	return windlasstest.NewStep(plugin, "act", none{})
}

// each are the operations of a step that gives, each with what it came to.
func each(step *windlasstest.Step) map[string]error {
	ended := map[string]error{}
	_, ended["start"] = step.Start(windlasstest.New())
	_, ended["run"] = step.Run(windlasstest.New())
	_, ended["resume"] = step.Resume(windlasstest.New(), &windlass.Suspension{Encoded: []byte(`{"topic":""}`)}, windlass.Event{})
	_, ended["cancel"] = step.Cancel(windlasstest.New(), nil)
	_, ended["rollback"] = step.Rollback(windlasstest.New(), "")
	_, _, ended["find"] = step.Find(windlasstest.New())
	return ended
}

func TestAnOutputThatBreaksItsSchemaIsAFailureAsOfTheHost(t *testing.T) {
	for name, err := range each(stepOf(func(*windlass.Context, state) (output, error) { return output{7}, nil })) {
		var failure *windlass.Failure
		if name == "cancel" || name == "rollback" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if !errors.As(err, &failure) || err.Error() != `output-breaks-schema (internal): the plugin's output is not what its manifest says: count: is more than 3: {"count":7}` {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Also where it comes after a wait.
	late := stepOf(func(_ *windlass.Context, of state) (output, error) {
		if of.Topic == "" {
			return output{}, windlass.Suspend(state{"waited"}, windlass.Wait{After: time.Second})
		}
		return output{7}, nil
	})
	var failure *windlass.Failure
	if _, err := late.Run(windlasstest.New()); !errors.As(err, &failure) || failure.Code != "output-breaks-schema" {
		t.Error(err)
	}
}

func TestAWaitForACallbackThatNobodyMadeIsAFailureAsOfTheHost(t *testing.T) {
	stranger := stepOf(func(*windlass.Context, state) (output, error) {
		return output{}, windlass.Suspend(state{}, windlass.Wait{After: time.Second, Callback: "x"})
	})
	for name, err := range each(stranger) {
		if err == nil || err.Error() != "unknown-callback (internal): the plugin waits for a callback that this step never made: `x` is no Topic of ctx.Callback()" {
			t.Errorf("%s: %v", name, err)
		}
	}
	own := stepOf(func(ctx *windlass.Context, of state) (output, error) {
		if of.Topic == "" {
			of.Topic = ctx.Callback().Topic
		}
		return output{}, windlass.Suspend(of, windlass.Wait{Callback: of.Topic, Status: "waits"})
	})
	host := windlasstest.New()
	answer, err := own.Start(host)
	if err != nil {
		t.Fatal(err)
	}
	// One that goes on with another host has its topic in its state.
	for _, host := range []*windlasstest.Host{host, windlasstest.New()} {
		if _, err := own.Resume(host, answer.Suspended, windlass.Event{}); err != nil {
			t.Error(err)
		}
	}
	if _, err := own.Run(windlasstest.New()); err == nil || err.Error() != "`waits` is woken by no timer, and a test that runs a step to its end only lets time pass: use Start, and Resume with a windlass.Event that has the Callback" {
		t.Error(err)
	}
}

func TestALineOfTheLogWithAValueThatHasNoNameFailsTheStepAndKeepsTheValue(t *testing.T) {
	type id string
	for _, it := range []struct {
		fields  []any
		unnamed string
		kept    []windlass.Detail
	}{
		{[]any{}, "", nil},
		{[]any{"id", 7, "of", id("x")}, "", []windlass.Detail{{Name: "id", Value: "7"}, {Name: "of", Value: "x"}}},
		{[]any{"j-1"}, "j-1", []windlass.Detail{{Name: "!BADKEY", Value: "j-1"}}},
		{[]any{7, "id", id("x")}, "7", []windlass.Detail{{Name: "!BADKEY", Value: "7"}, {Name: "id", Value: "x"}}},
		{[]any{"id", 7, id("x")}, "x", []windlass.Detail{{Name: "id", Value: "7"}, {Name: "!BADKEY", Value: "x"}}},
	} {
		host := windlasstest.New()
		_, err := stepOf(func(ctx *windlass.Context, _ state) (output, error) {
			ctx.Log.Info("asked for %s", it.fields...)
			return output{}, nil
		}).Run(host)
		if !slices.Equal(host.Lines[0].Fields, it.kept) {
			t.Errorf("%v: %v", it.fields, host.Lines[0].Fields)
		}
		said := "the line `asked for %s` of the log has the value \"" + it.unnamed + "\" without a name: write for example ctx.Log.Info(\"asked\", \"id\", id), names and values in turn"
		if it.unnamed == "" && err != nil || it.unnamed != "" && (err == nil || !strings.HasSuffix(err.Error(), said) || !strings.Contains(err.Error(), " at step_test.go:")) {
			t.Errorf("%v: %v", it.fields, err)
		}
	}
}
