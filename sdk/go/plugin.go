package windlass

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Contract is the version of the plugin contract that this SDK speaks.
const Contract = "0.1"

const stateBytesMax = 65_536

// Effect is what repeating an action does to the world.
type Effect string

const (
	// Read says that repeating is harmless.
	Read Effect = "read"
	// IdempotentWrite says that the other side recognises the key, or setting twice is setting once.
	IdempotentWrite Effect = "idempotent_write"
	// Write must not be repeated blindly: after a crash the host asks Find, or a person.
	Write Effect = "write"
)

// Role is a connection that an action needs, with the requests made: "GET,POST /jobs".
type Role struct {
	Description string
	Requests    []string
	Optional    bool
}

// Limits is what one call may use; zero is the host's default.
type Limits struct {
	CPU, Wall                                                                                 time.Duration
	MemoryBytes, OutputBytes, LogBytes, StateBytes, HTTPRequests, RequestBytes, ResponseBytes uint64
}

// Action is one action. Operations beside Start are announced by not being nil. An operation that goes on returns
// [Suspend] as its error.
type Action[Input, Output, State any] struct {
	Name        string
	Description string
	Effect      Effect
	Connections map[string]Role
	Limits      Limits

	Start  func(ctx *Context, input Input) (Output, error)
	Resume func(ctx *Context, input Input, state State, event Event) (Output, error)
	// Cancel gets what the action suspended with, nil if its call was cut off. Its own suspensions carry a State too.
	Cancel       func(ctx *Context, input Input, state *State) (any, error)
	ResumeCancel func(ctx *Context, input Input, state State, event Event) (any, error)
	// Rollback gets the output, nil if Start never got that far. Its suspensions carry a State too.
	Rollback       func(ctx *Context, input Input, output *Output) (any, error)
	ResumeRollback func(ctx *Context, input Input, output *Output, state State, event Event) (any, error)
	// Find looks, and only looks, for what the idempotency key came to; [ErrNotFound] if the effect never happened.
	Find func(ctx *Context, input Input) (Output, error)
}

// AnyAction is an [Action] of any types.
type AnyAction interface {
	name() string
	describe() map[string]any
	start(ctx *Context) (any, error)
	resume(ctx *Context, state []byte, event Event) (any, error)
	cancel(ctx *Context, state []byte, has bool) (any, error)
	rollback(ctx *Context) (any, error)
	find(ctx *Context) (any, error)
	roles() []string
	stateLimit() int
	resumes(operation Operation) (by string, does bool)
	place() string
	declared(found *problems)
	check(input, output []byte) error
	checkState(given any, written []byte) error
}

// Plugin is a name and its actions.
type Plugin struct {
	Name        string
	Version     string
	Description string
	Actions     []AnyAction
}

// Manifest is what the plugin says of itself, as JSON. Pure; of a plugin that is not [Plugin.Sound] there is none.
func (p *Plugin) Manifest() []byte {
	if err := p.Sound(); err != nil {
		panic(err)
	}
	actions := map[string]any{}
	for _, action := range p.Actions {
		actions[action.name()] = action.describe()
	}
	written, err := encode(map[string]any{
		"name": p.Name, "version": p.Version, "contract": Contract, "description": p.Description, "actions": actions,
	})
	if err != nil {
		panic(err)
	}
	return written
}

func (p *Plugin) names() []string {
	var names []string
	for _, action := range p.Actions {
		names = append(names, action.name())
	}
	return names
}

// Action is the action of a name, or nil.
func (p *Plugin) Action(name string) AnyAction {
	for _, action := range p.Actions {
		if action.name() == name {
			return action
		}
	}
	return nil
}

// Check tells what is wrong with an action's input and output as JSON; nil for one that is not there.
func (p *Plugin) Check(action string, input, output []byte) error {
	return p.Action(action).check(input, output)
}

// Start begins an action.
func (p *Plugin) Start(host Host, call *Call) (Answer, *Failure) {
	return p.do(host, call, "Start", func(action AnyAction, ctx *Context) (any, error) { return action.start(ctx) })
}

// Resume goes on with the operation that was suspended.
func (p *Plugin) Resume(host Host, call *Call, state []byte, event Event) (Answer, *Failure) {
	return p.do(host, call, "Resume", func(action AnyAction, ctx *Context) (any, error) { return action.resume(ctx, state, event) })
}

// Cancel stops an action; state is nil if its call was cut off.
func (p *Plugin) Cancel(host Host, call *Call, state []byte) (Answer, *Failure) {
	return p.do(host, call, "Cancel", func(action AnyAction, ctx *Context) (any, error) { return action.cancel(ctx, state, state != nil) })
}

// Rollback takes an action's effect back.
func (p *Plugin) Rollback(host Host, call *Call) (Answer, *Failure) {
	return p.do(host, call, "Rollback", func(action AnyAction, ctx *Context) (any, error) { return action.rollback(ctx) })
}

// Find looks for the effect of an idempotency key; false if it never happened.
func (p *Plugin) Find(host Host, call *Call) (Answer, bool, *Failure) {
	missing := false
	answer, failure := p.do(host, call, "Find", func(action AnyAction, ctx *Context) (any, error) {
		output, err := action.find(ctx)
		missing = errors.Is(err, ErrNotFound)
		return output, err
	})
	if missing {
		return Answer{}, false, nil
	}
	return answer, true, failure
}

// do calls the action's function of this name.
func (p *Plugin) do(host Host, call *Call, name string, function func(AnyAction, *Context) (any, error)) (answer Answer, failure *Failure) {
	action := p.Action(call.Action)
	if action == nil {
		return Answer{}, Fail(Invalid, "unknown-action", "`%s` has no action `%s`; it has %s", p.Name, call.Action, strings.Join(p.names(), ", ")).Never()
	}
	defer func() {
		if problem := recover(); problem != nil {
			// A fault of the plugin: its place is logged.
			host.Log("error", fmt.Sprintf("panic: %v\n%s", problem, debug.Stack()), nil)
			at := authors(stack())
			if at != "" {
				at = " at " + at
			}
			answer, failure = Answer{}, Fail(Internal, "panic", "the plugin panicked%s: %v", at, problem)
		}
	}()
	made, leave := enter()
	defer leave()
	output, err := function(action, newContext(host, call, action.roles()))
	var suspension *Suspension
	if errors.As(err, &suspension) {
		return suspended(action, name, call.Operation, suspension)
	}
	if err != nil {
		if !errors.As(err, &failure) {
			failure = Fail(Internal, "error", "%v", err)
		}
		return Answer{}, failure
	}
	if made.suspended != nil {
		at := authors(made.suspended)
		if at != "" {
			at = " (" + at + ")"
		}
		return Answer{}, Fail(Internal, "not-returned", "`%s` suspended in %s%s and then returned nil: return what Suspend gives", action.name(), name, at).Never()
	}
	written, err := encodeAs(reflect.TypeOf(output), output)
	if err != nil {
		return Answer{}, Fail(Internal, "unwritable", "the output of `%s` is no JSON: %v", call.Action, err).Never()
	}
	return Answer{Done: written}, nil
}

func suspended(action AnyAction, name string, operation Operation, suspension *Suspension) (Answer, *Failure) {
	state, err := encode(suspension.State)
	if err != nil {
		return Answer{}, Fail(Internal, "unwritable", "the state of `%s` is no JSON: %v", action.name(), err).Never()
	}
	if len(state) > action.stateLimit() {
		return Answer{}, Fail(Internal, "state-too-large", "the state of `%s` has %d bytes; a suspension carries %d at most", action.name(), len(state), action.stateLimit()).Never()
	}
	if len(suspension.Wakes) == 0 {
		return Answer{}, Fail(Internal, "no-wakes", "`%s` suspended in %s without saying what wakes it: give the Wait `After`, `At` or `Callback`", action.name(), name).Never()
	}
	for _, wake := range suspension.Wakes {
		// A number without a unit is nanoseconds.
		if wake.After < 0 || wake.After > 0 && wake.After < time.Millisecond {
			return Answer{}, Fail(Internal, "wait", "`%s` suspended in %s with `After` %v: write for example 2 * time.Second", action.name(), name, wake.After).Never()
		}
	}
	if by, does := action.resumes(operation); !does {
		return Answer{}, Fail(Internal, "never-suspends", "`%s` suspends in %s but has no %s: it could never go on; add `%s` to the action, the function that gets the state", action.name(), name, by, by).Never()
	}
	if err := action.checkState(suspension.State, state); err != nil {
		return Answer{}, Fail(Internal, "state", "`%s` suspends in %s with %v", action.name(), name, err).Never()
	}
	suspension.Encoded = state
	return Answer{Suspended: suspension}, nil
}

func (a Action[Input, Output, State]) name() string { return a.Name }

func (a Action[Input, Output, State]) roles() []string {
	return slices.Sorted(maps.Keys(a.Connections))
}

func (a Action[Input, Output, State]) stateLimit() int {
	if a.Limits.StateBytes == 0 {
		return stateBytesMax
	}
	return int(min(a.Limits.StateBytes, stateBytesMax))
}

// resumes is the function that goes on with an operation that waited, and whether the action has it.
func (a Action[Input, Output, State]) resumes(operation Operation) (by string, does bool) {
	switch operation {
	case Cancel:
		return "ResumeCancel", a.ResumeCancel != nil
	case Rollback:
		return "ResumeRollback", a.ResumeRollback != nil
	}
	return "Resume", a.Resume != nil
}

func (a Action[Input, Output, State]) describe() map[string]any {
	connections := map[string]any{}
	for name, role := range a.Connections {
		requests := []any{}
		for _, request := range role.Requests {
			methods, path, _ := strings.Cut(request, " ")
			requests = append(requests, map[string]any{"methods": strings.Split(methods, ","), "path": path})
		}
		connections[name] = map[string]any{"description": role.Description, "required": !role.Optional, "requests": requests}
	}
	limits := map[string]uint64{}
	for name, value := range map[string]uint64{
		"cpu_ms": uint64(a.Limits.CPU.Milliseconds()), "wall_ms": uint64(a.Limits.Wall.Milliseconds()),
		"memory_bytes": a.Limits.MemoryBytes, "output_bytes": a.Limits.OutputBytes, "log_bytes": a.Limits.LogBytes,
		"state_bytes": a.Limits.StateBytes, "http_requests": a.Limits.HTTPRequests,
		"request_bytes": a.Limits.RequestBytes, "response_bytes": a.Limits.ResponseBytes,
	} {
		if value > 0 {
			limits[name] = value
		}
	}
	return map[string]any{
		"description": a.Description,
		"input":       schemaOf(reflect.TypeFor[Input](), ""),
		"output":      schemaOf(reflect.TypeFor[Output](), ""),
		"effect":      a.Effect,
		"cancel":      a.Cancel != nil, "rollback": a.Rollback != nil, "find": a.Find != nil,
		"connections": connections,
		"limits":      limits,
	}
}

func (a Action[Input, Output, State]) check(input, output []byte) error {
	var in Input
	if input != nil {
		if err := decode(input, &in, true); err != nil {
			return fmt.Errorf("the input: %w", err)
		}
	}
	var out Output
	if output != nil {
		if err := decode(output, &out, true); err != nil {
			return fmt.Errorf("the output: %w", err)
		}
	}
	return nil
}

// checkState tells why a state could not be read where the step is resumed, or would lose something.
func (a Action[Input, Output, State]) checkState(given any, written []byte) error {
	var state State
	err := decode(written, &state, true)
	if err == nil {
		return nil
	}
	is := "nil"
	if given != nil {
		is = reflect.TypeOf(given).String()
	}
	if declared := reflect.TypeFor[State]().String(); is != declared {
		return fmt.Errorf("a state that is %s, but its State is %s: %w", is, declared, err)
	}
	return fmt.Errorf("a state that cannot be read again: %w", err)
}

func (a Action[Input, Output, State]) input(ctx *Context) (Input, error) {
	var input Input
	if err := decode(ctx.call.Input, &input, true); err != nil {
		return input, Fail(Invalid, "input", "the input of `%s`: %v", a.Name, err).Never()
	}
	return input, nil
}

func (a Action[Input, Output, State]) output(ctx *Context) (*Output, error) {
	if ctx.call.Output == nil {
		return nil, nil
	}
	var output Output
	if err := decode(ctx.call.Output, &output, false); err != nil {
		return nil, Fail(Internal, "output", "the output that `%s` gave: %v", a.Name, err).Never()
	}
	return &output, nil
}

func (a Action[Input, Output, State]) state(written []byte) (State, error) {
	var state State
	if err := decode(written, &state, false); err != nil {
		return state, Fail(Internal, "state", "the suspended state cannot be read: %v", err).Never()
	}
	return state, nil
}

func (a Action[Input, Output, State]) missing(operation string) error {
	return Fail(Internal, "unknown-operation", "`%s` has no %s", a.Name, operation).Never()
}

func (a Action[Input, Output, State]) start(ctx *Context) (any, error) {
	input, err := a.input(ctx)
	if err != nil {
		return nil, err
	}
	return a.Start(ctx, input)
}

func (a Action[Input, Output, State]) resume(ctx *Context, written []byte, event Event) (any, error) {
	input, err := a.input(ctx)
	if err != nil {
		return nil, err
	}
	output, err := a.output(ctx)
	if err != nil {
		return nil, err
	}
	state, err := a.state(written)
	if err != nil {
		return nil, err
	}
	if by, does := a.resumes(ctx.call.Operation); !does {
		return nil, Fail(Internal, "never-suspends", "`%s` waited, and has no %s to go on with: add `%s` to the action, the function that gets the state", a.Name, by, by).Never()
	}
	switch ctx.call.Operation {
	case Cancel:
		return a.ResumeCancel(ctx, input, state, event)
	case Rollback:
		return a.ResumeRollback(ctx, input, output, state, event)
	}
	return a.Resume(ctx, input, state, event)
}

func (a Action[Input, Output, State]) cancel(ctx *Context, written []byte, has bool) (any, error) {
	if a.Cancel == nil {
		return nil, a.missing("cancel")
	}
	input, err := a.input(ctx)
	if err != nil || !has {
		if err != nil {
			return nil, err
		}
		return a.Cancel(ctx, input, nil)
	}
	state, err := a.state(written)
	if err != nil {
		return nil, err
	}
	return a.Cancel(ctx, input, &state)
}

func (a Action[Input, Output, State]) rollback(ctx *Context) (any, error) {
	if a.Rollback == nil {
		return nil, a.missing("rollback")
	}
	input, err := a.input(ctx)
	if err != nil {
		return nil, err
	}
	output, err := a.output(ctx)
	if err != nil {
		return nil, err
	}
	return a.Rollback(ctx, input, output)
}

func (a Action[Input, Output, State]) find(ctx *Context) (any, error) {
	if a.Find == nil {
		return nil, a.missing("find")
	}
	input, err := a.input(ctx)
	if err != nil {
		return nil, err
	}
	return a.Find(ctx, input)
}
