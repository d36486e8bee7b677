package windlasstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"windlass.dev/go"
)

// More wakes than any test needs: a step that goes on longer never ends.
const wakesMax = 10_000

var keys = map[windlass.Operation]string{
	windlass.Start:    "0123456789abcdef0123456789abcdef",
	windlass.Cancel:   "cccccccccccccccccccccccccccccccc",
	windlass.Rollback: "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
}

// Key is the idempotency key of an operation; another for each, as in the host.
func Key(operation windlass.Operation) string { return keys[operation] }

// Step is an action with its input, and the attempt that it is in.
type Step struct {
	plugin *windlass.Plugin
	action string
	input  []byte
	// Attempt counts from 1.
	Attempt uint32
	// Starts counts the pieces of work that start has begun, from 1: one more after each definite answer.
	Starts uint32
}

// StartKey is the idempotency key of the nth piece of work that start begins, from 1.
func StartKey(n uint32) string {
	if n == 1 {
		return keys[windlass.Start]
	}
	return fmt.Sprintf("%08x%s", n, keys[windlass.Start][8:])
}

// StartAnew is the same step in an attempt of start after one that got a definite answer: under another idempotency key.
func (s *Step) StartAnew() *Step {
	anew := *s
	anew.Attempt++
	anew.Starts++
	return &anew
}

// NewStep is a step's first attempt. It panics if the plugin has no such action, or if declarations or the input are wrong.
func NewStep(plugin *windlass.Plugin, action string, input any) *Step {
	if err := plugin.Sound(); err != nil {
		panic(err)
	}
	if plugin.Action(action) == nil {
		panic("the plugin has no action `" + action + "`")
	}
	written, err := json.Marshal(input)
	if err == nil {
		err = plugin.Check(action, written, nil)
	}
	if err != nil {
		panic(err)
	}
	return &Step{plugin, action, written, 1, 1}
}

// tell says to `windlass plugin test` which operations of which actions the tests call.
func (s *Step) tell(called string) {
	file := os.Getenv("WINDLASS_TESTED")
	if file == "" {
		return
	}
	var manifest struct {
		Actions map[string]struct{ Cancel, Rollback, Find bool } `json:"actions"`
	}
	if err := json.Unmarshal(s.plugin.Manifest(), &manifest); err != nil {
		panic(err)
	}
	declared := map[string][]string{}
	for name, action := range manifest.Actions {
		declared[name] = []string{"start"}
		for operation, has := range map[string]bool{"cancel": action.Cancel, "rollback": action.Rollback, "find": action.Find} {
			if has {
				declared[name] = append(declared[name], operation)
			}
		}
	}
	line, err := json.Marshal(map[string]any{"action": s.action, "called": called, "declared": declared})
	if err != nil {
		panic(err)
	}
	tested, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer tested.Close()
	if _, err := tested.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

// Start calls start. An error is a *windlass.Failure.
func (s *Step) Start(host *Host) (windlass.Answer, error) {
	defer host.enter()()
	s.tell("start")
	answer, failure := s.plugin.Start(host, s.call(host, windlass.Start, nil))
	return s.checked(host, windlass.Start, nil, answer, failure)
}

// Resume calls resume of the action itself.
func (s *Step) Resume(host *Host, suspended *windlass.Suspension, event windlass.Event) (windlass.Answer, error) {
	defer host.enter()()
	answer, failure := s.plugin.Resume(host, s.call(host, windlass.Start, nil), suspended.Encoded, event)
	return s.checked(host, windlass.Start, suspended, answer, failure)
}

// Run starts, and resumes at each timer with the clock moved there, until it ends: the output as JSON.
func (s *Step) Run(host *Host) (string, error) {
	answer, err := s.Start(host)
	if err != nil {
		return "", err
	}
	return s.follow(host, answer, windlass.Start, nil)
}

// Cancel cancels, and follows the cancel to its end.
func (s *Step) Cancel(host *Host, suspended *windlass.Suspension) (string, error) {
	defer host.enter()()
	s.tell("cancel")
	var state []byte
	if suspended != nil {
		state = suspended.Encoded
	}
	answer, failure := s.plugin.Cancel(host, s.call(host, windlass.Cancel, nil), state)
	answer, err := s.checked(host, windlass.Cancel, suspended, answer, failure)
	if err != nil {
		return "", err
	}
	return s.follow(host, answer, windlass.Cancel, nil)
}

// Rollback rolls back, and follows the rollback to its end; output is JSON, or empty.
func (s *Step) Rollback(host *Host, output string) (string, error) {
	defer host.enter()()
	s.tell("rollback")
	var written []byte
	if output != "" {
		written = []byte(output)
	}
	answer, failure := s.plugin.Rollback(host, s.call(host, windlass.Rollback, written))
	answer, err := s.checked(host, windlass.Rollback, nil, answer, failure)
	if err != nil {
		return "", err
	}
	return s.follow(host, answer, windlass.Rollback, written)
}

// Find calls find; false if the effect never happened.
func (s *Step) Find(host *Host) (windlass.Answer, bool, error) {
	defer host.enter()()
	s.tell("find")
	answer, found, failure := s.plugin.Find(host, s.call(host, windlass.Start, nil))
	if failure != nil || !found {
		if failure != nil {
			return answer, false, failure
		}
		return answer, false, nil
	}
	answer, err := s.checked(host, windlass.Start, nil, answer, nil)
	return answer, err == nil, err
}

func (s *Step) follow(host *Host, answer windlass.Answer, operation windlass.Operation, output []byte) (string, error) {
	defer host.enter()()
	for range wakesMax {
		if answer.Suspended == nil {
			return string(answer.Done), nil
		}
		wait, err := waitOf(answer.Suspended, host.Now())
		if err != nil {
			return "", err
		}
		host.Advance(wait)
		next, failure := s.plugin.Resume(host, s.call(host, operation, output), answer.Suspended.Encoded, windlass.Event{})
		if answer, err = s.checked(host, operation, answer.Suspended, next, failure); err != nil {
			return "", err
		}
	}
	panic(fmt.Sprintf("`%s` was woken %d times and has not ended", s.action, wakesMax))
}

func (s *Step) call(host *Host, operation windlass.Operation, output []byte) *windlass.Call {
	var manifest struct {
		Actions map[string]struct {
			Connections map[string]struct {
				Requests []rule `json:"requests"`
			} `json:"connections"`
		} `json:"actions"`
	}
	if err := json.Unmarshal(s.plugin.Manifest(), &manifest); err != nil {
		panic(err)
	}
	host.grants = map[string][]rule{}
	for role, asked := range manifest.Actions[s.action].Connections {
		host.grants[role] = asked.Requests
	}
	key := keys[operation]
	if operation == windlass.Start {
		key = StartKey(s.Starts)
	}
	var starts []string
	for n := range s.Starts {
		starts = append(starts, StartKey(n+1))
	}
	return &windlass.Call{
		Action: s.action, Operation: operation, Release: "payments-1", Step: "step", Attempt: s.Attempt,
		IdempotencyKey: key, Input: s.input, Output: output,
		Context: []windlass.Detail{{Name: "start-keys", Value: strings.Join(starts, " ")}},
	}
}

// checked is what the host makes of an answer, in its words. Before is what the call went on from, if any.
func (s *Step) checked(host *Host, operation windlass.Operation, before *windlass.Suspension, answer windlass.Answer, failure *windlass.Failure) (windlass.Answer, error) {
	if failure != nil {
		return answer, failure
	}
	if answer.Suspended == nil {
		if operation != windlass.Start {
			return answer, nil
		}
		if err := s.plugin.Check(s.action, nil, answer.Done); err != nil {
			return windlass.Answer{}, windlass.Fail(windlass.Internal, "output-breaks-schema", "the plugin's output is not what its manifest says: %v: %s", errors.Unwrap(err), answer.Done)
		}
		return answer, nil
	}
	for _, wake := range answer.Suspended.Wakes {
		if wake.Callback != "" && !host.made(wake.Callback) && !carries(before, wake.Callback) {
			return windlass.Answer{}, windlass.Fail(windlass.Internal, "unknown-callback", "the plugin waits for a callback that this step never made: `%s` is no Topic of ctx.Callback()", wake.Callback)
		}
	}
	return answer, nil
}

// carries tells whether a suspension has a topic: a test may go on with another host than made it.
func carries(suspended *windlass.Suspension, topic string) bool {
	return suspended != nil && bytes.Contains(suspended.Encoded, []byte(topic))
}

func waitOf(suspended *windlass.Suspension, now time.Time) (time.Duration, error) {
	wait := time.Duration(-1)
	for _, wake := range suspended.Wakes {
		until := wake.After
		if !wake.At.IsZero() {
			until = max(0, wake.At.Sub(now))
		}
		if wake.Callback == "" && (wait < 0 || until < wait) {
			wait = until
		}
	}
	if wait < 0 {
		return 0, fmt.Errorf("`%s` is woken by no timer, and a test that runs a step to its end only lets time pass: use Start, and Resume with a windlass.Event that has the Callback", suspended.Status)
	}
	return wait, nil
}
