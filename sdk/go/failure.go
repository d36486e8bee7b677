package windlass

import (
	"fmt"
	"time"
)

// Class is what kind of failure, for the retry policy.
type Class string

const (
	// Transient is worth another try as it is.
	Transient Class = "transient"
	// RateLimited says that the other side asks for fewer requests.
	RateLimited Class = "rate-limited"
	// TimedOut says that the other side did not answer or finish in time.
	TimedOut Class = "timed-out"
	// Unauthenticated says that credentials are missing, wrong or expired.
	Unauthenticated Class = "unauthenticated"
	// Forbidden says that the credentials, or the host's grant, do not allow it.
	Forbidden Class = "forbidden"
	// NotFound says that what the input names does not exist.
	NotFound Class = "not-found"
	// Conflict says that something else stands in the way now.
	Conflict Class = "conflict"
	// Invalid says that the input is wrong.
	Invalid Class = "invalid"
	// Rejected says that the other side did the work and the answer is no.
	Rejected Class = "rejected"
	// Canceled says that somebody stopped it on the other side.
	Canceled Class = "canceled"
	// Internal says that the plugin met something that it does not understand.
	Internal Class = "internal"
)

// Passes tells whether the same request may well succeed a little later: what a step that polls should sit out.
func (c Class) Passes() bool { return c == Transient || c == RateLimited || c == TimedOut }

// Advice is what the plugin thinks of another attempt; the workflow's policy bounds it.
type Advice string

const (
	// ByPolicy is as the workflow's retry policy says for the class.
	ByPolicy Advice = "by-policy"
	// After is another attempt, not before [Failure.Wait].
	After Advice = "after"
	// Never says that no attempt of the same input can succeed.
	Never Advice = "never"
	// Pause says that a person has to look at it first.
	Pause Advice = "pause"
)

// Detail is a fact about a failure.
type Detail struct{ Name, Value string }

// Failure is a declared failure; an action returns it as its error.
type Failure struct {
	Class Class
	// Code is stable and the plugin's own.
	Code    string
	Message string
	Advice  Advice
	Wait    time.Duration
	Details []Detail

	effectUnknown bool
}

// Fail makes a failure of a class with a stable code and a message, as [fmt.Sprintf].
func Fail(class Class, code, format string, arguments ...any) *Failure {
	return &Failure{Class: class, Code: code, Message: fmt.Sprintf(format, arguments...), Advice: ByPolicy}
}

// Never advises against any attempt of the same input.
func (f *Failure) Never() *Failure { f.Advice = Never; return f }

// Pause advises to wait for a person.
func (f *Failure) Pause() *Failure { f.Advice = Pause; return f }

// After advises another attempt, not before this long.
func (f *Failure) After(wait time.Duration) *Failure { f.Advice, f.Wait = After, wait; return f }

// Detail adds a fact.
func (f *Failure) Detail(name string, value any) *Failure {
	f.Details = append(f.Details, Detail{name, fmt.Sprint(value)})
	return f
}

// Passes tells whether the same request may well succeed a little later.
func (f *Failure) Passes() bool { return f.Class.Passes() }

// EffectUnknown tells whether the request that failed may have had its effect: its answer got lost, or something in between
// answered.
func (f *Failure) EffectUnknown() bool { return f.effectUnknown }

// Error is what a test prints: `no-room (rejected): there is no room`. To people goes [Failure.Message], with code and class
// beside it.
func (f *Failure) Error() string { return fmt.Sprintf("%s (%s): %s", f.Code, f.Class, f.Message) }
