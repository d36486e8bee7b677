package windlass

import (
	"errors"
	"net/http"
	"time"
)

// ErrNotFound is what Find returns if the effect never happened.
var ErrNotFound = errors.New("windlass: the effect never happened")

// Wake is what ends a wait.
type Wake struct {
	After    time.Duration
	At       time.Time
	Callback string
}

// Wait says what ends a wait, the first to happen, and what people read meanwhile.
type Wait struct {
	After    time.Duration
	At       time.Time
	Callback string
	Status   string
}

// Suspension is a wait. An operation returns it as its error; see [Suspend].
type Suspension struct {
	State  any
	Wakes  []Wake
	Status string
	// Encoded is the state as it leaves the component.
	Encoded []byte
}

func (s *Suspension) Error() string { return "windlass: suspended: " + s.Status }

// Suspend ends the call and lets the step wait: return it as the operation's error; a call that suspends and returns nil fails. State is given back to the function that
// goes on; it is written as JSON, at most 64 KiB, and never holds a secret.
func Suspend(state any, wait Wait) *Suspension {
	noteSuspension()
	suspension := &Suspension{State: state, Status: wait.Status}
	if wait.After != 0 {
		suspension.Wakes = append(suspension.Wakes, Wake{After: wait.After})
	}
	if !wait.At.IsZero() {
		suspension.Wakes = append(suspension.Wakes, Wake{At: wait.At})
	}
	if wait.Callback != "" {
		suspension.Wakes = append(suspension.Wakes, Wake{Callback: wait.Callback})
	}
	return suspension
}

// Event is why a suspended step is resumed.
type Event struct {
	// Callback is nil if a time was reached.
	Callback *CallbackEvent
}

// CallbackEvent is a request that came in for a callback topic.
type CallbackEvent struct {
	Topic   string
	Headers http.Header
	Body    []byte
}

// JSON reads the body.
func (e *CallbackEvent) JSON(into any) error {
	if err := decode(e.Body, into, false); err != nil {
		return Fail(Invalid, "callback-body", "the callback's body is not what was expected: %v", err)
	}
	return nil
}
