//go:build wasip1

// Package step is the component's side of the contract: what the generated exports call, and the imports as a host.
package step

import (
	"fmt"
	"os"
	"time"

	"windlass.dev/go"
	"windlass.dev/go/internal/wit/types"
	contract "windlass.dev/go/internal/wit/windlass_plugin_step_types"
)

// Plugin is the plugin that the component exports.
var Plugin *windlass.Plugin

type result = types.Result[contract.Outcome, contract.Failure]

// Manifest is what the plugin says of itself.
func Manifest() string {
	if Plugin == nil {
		refuse("no plugin is exported: the main package has to say `func init() { component.Export(plugin) }`, of a plugin that is not nil; a component's `main` is not called")
	}
	if err := Plugin.Sound(); err != nil {
		refuse(err.Error())
	}
	return string(Plugin.Manifest())
}

// refuse ends the call with what the author has to know, and without the stack that a panic has: all of it is the SDK's.
func refuse(why string) {
	fmt.Fprintln(os.Stderr, why)
	trap()
}

// trap is the instruction `unreachable`. A process that exits is told without what it said.
func trap()

// Start begins an action.
func Start(call contract.Call) result {
	return given(Plugin.Start(imports{}, plain(call)))
}

// Resume goes on with an operation.
func Resume(call contract.Call, state []uint8, event contract.Event) result {
	var woken windlass.Event
	if event.Tag() == contract.Event_Callback {
		it := event.Callback()
		headers := map[string][]string{}
		for _, pair := range it.Headers {
			headers[canonical(pair.F0)] = append(headers[canonical(pair.F0)], pair.F1)
		}
		woken.Callback = &windlass.CallbackEvent{Topic: it.Topic, Headers: headers, Body: it.Body}
	}
	return given(Plugin.Resume(imports{}, plain(call), state, woken))
}

// Cancel stops an action.
func Cancel(call contract.Call, state types.Option[[]uint8]) result {
	suspended, has := state.Get()
	if has && suspended == nil {
		suspended = []byte{}
	}
	return given(Plugin.Cancel(imports{}, plain(call), suspended))
}

// Rollback takes an action's effect back.
func Rollback(call contract.Call) result {
	return given(Plugin.Rollback(imports{}, plain(call)))
}

// Find looks for an effect.
func Find(call contract.Call) types.Result[types.Option[contract.Outcome], contract.Failure] {
	answer, found, failure := Plugin.Find(imports{}, plain(call))
	if failure != nil {
		return types.Err[types.Option[contract.Outcome]](declared(failure))
	}
	if !found {
		return types.Ok[types.Option[contract.Outcome], contract.Failure](types.None[contract.Outcome]())
	}
	return types.Ok[types.Option[contract.Outcome], contract.Failure](types.Some(outcome(answer)))
}

func plain(call contract.Call) *windlass.Call {
	operations := map[uint8]windlass.Operation{
		contract.Operation_Start: windlass.Start, contract.Operation_Cancel: windlass.Cancel, contract.Operation_Rollback: windlass.Rollback,
	}
	it := &windlass.Call{
		Action: call.Action, Operation: operations[call.Operation], Release: call.Release, Step: call.Step,
		Attempt: call.Attempt, IdempotencyKey: call.IdempotencyKey, DryRun: call.DryRun, Input: []byte(call.Input),
	}
	if deadline, ok := call.Deadline.Get(); ok {
		it.Deadline = time.UnixMilli(int64(deadline)).UTC()
	}
	if output, ok := call.Output.Get(); ok {
		it.Output = []byte(output)
	}
	for _, pair := range call.Context {
		it.Context = append(it.Context, windlass.Detail{Name: pair.F0, Value: pair.F1})
	}
	return it
}

func given(answer windlass.Answer, failure *windlass.Failure) result {
	if failure != nil {
		return types.Err[contract.Outcome](declared(failure))
	}
	return types.Ok[contract.Outcome, contract.Failure](outcome(answer))
}

func outcome(answer windlass.Answer) contract.Outcome {
	if answer.Suspended == nil {
		return contract.MakeOutcomeDone(string(answer.Done))
	}
	var wakes []contract.Wake
	for _, wake := range answer.Suspended.Wakes {
		switch {
		case wake.Callback != "":
			wakes = append(wakes, contract.MakeWakeCallback(wake.Callback))
		case !wake.At.IsZero():
			wakes = append(wakes, contract.MakeWakeAt(uint64(max(0, wake.At.UnixMilli()))))
		default:
			wakes = append(wakes, contract.MakeWakeAfter(uint64(wake.After.Milliseconds())))
		}
	}
	return contract.MakeOutcomeSuspended(contract.Suspension{
		State: answer.Suspended.Encoded, Wakes: wakes, Status: answer.Suspended.Status,
	})
}

var classes = map[windlass.Class]contract.FailureClass{
	windlass.Transient: contract.FailureClass_Transient, windlass.RateLimited: contract.FailureClass_RateLimited,
	windlass.TimedOut: contract.FailureClass_TimedOut, windlass.Unauthenticated: contract.FailureClass_Unauthenticated,
	windlass.Forbidden: contract.FailureClass_Forbidden, windlass.NotFound: contract.FailureClass_NotFound,
	windlass.Conflict: contract.FailureClass_Conflict, windlass.Invalid: contract.FailureClass_Invalid,
	windlass.Rejected: contract.FailureClass_Rejected, windlass.Canceled: contract.FailureClass_Canceled,
	windlass.Internal: contract.FailureClass_Internal,
}

func declared(failure *windlass.Failure) contract.Failure {
	class, known := classes[failure.Class]
	if !known {
		class = contract.FailureClass_Internal
	}
	retry := contract.MakeRetryAdviceByPolicy()
	switch failure.Advice {
	case windlass.After:
		retry = contract.MakeRetryAdviceAfter(uint64(failure.Wait.Milliseconds()))
	case windlass.Never:
		retry = contract.MakeRetryAdviceNever()
	case windlass.Pause:
		retry = contract.MakeRetryAdvicePause()
	}
	return contract.Failure{
		Class: class, Code: failure.Code, Message: failure.Message, Retry: retry, Details: pairs(failure.Details),
	}
}

func pairs(details []windlass.Detail) []types.Tuple2[string, string] {
	var list []types.Tuple2[string, string]
	for _, it := range details {
		list = append(list, types.Tuple2[string, string]{F0: it.Name, F1: it.Value})
	}
	return list
}
