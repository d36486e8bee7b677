package windlass

import (
	"net/http"
	"time"
)

// Host is the host as the SDK uses it: a component's imports, or a test's.
type Host interface {
	Log(level, message string, fields []Detail)
	Status(text string)
	Percent(value uint8)
	Link(title, url string)
	// Connection is the endpoint bound to a role, or nil.
	Connection(role string) *Endpoint
	// Begin begins a part of the step: what it came to, or a slot to record it.
	Begin(name string) (recorded []byte, slot Slot)
	Callback() Callback
	// RoundTrip sends a request. Its error is a [TransportError].
	http.RoundTripper
	Now() time.Time
}

// Slot is a part that has begun and is not recorded yet.
type Slot interface {
	// Finish records the answer durably before it returns.
	Finish(value []byte)
	// Drop gives it up: the part counts as not done.
	Drop()
}

// Endpoint is what a plugin may know of a connection.
type Endpoint struct {
	Name       string
	BaseURL    string
	Properties map[string]string
}

// Callback is an address that wakes the step when the other side sends a POST to it. It is a credential.
type Callback struct {
	Topic string `json:"topic"`
	// URL is empty where the installation takes no callbacks from the network.
	URL string `json:"url,omitempty"`
}

// RequiredURL is the URL; where there is none, a failure that says what the operator has to do, and pauses until then.
func (c Callback) RequiredURL() (string, error) {
	if c.URL != "" {
		return c.URL, nil
	}
	return "", Fail(Invalid, "no-callback-url", "this installation takes no callbacks from the network: `windlass serve --callbacks ADDRESS:PORT` does; then try the step again").Pause()
}

// Operation is which of an action's operations is being carried out.
type Operation string

const (
	// Start is the action itself.
	Start Operation = "start"
	// Cancel is stopping it before it ended.
	Cancel Operation = "cancel"
	// Rollback is undoing it after it ended.
	Rollback Operation = "rollback"
)

// Call is one call of an action on behalf of a step, as it crosses the component's boundary.
type Call struct {
	Action         string
	Operation      Operation
	Release        string
	Step           string
	Attempt        uint32
	IdempotencyKey string
	// Deadline is zero if there is none.
	Deadline time.Time
	DryRun   bool
	Input    []byte
	// Output is nil if there is none.
	Output  []byte
	Context []Detail
}

// Answer is an outcome as it leaves the component: JSON, or a suspension with its state encoded.
type Answer struct {
	Done      []byte
	Suspended *Suspension
}
