package windlass

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Context is one call, and what the host offers to it.
type Context struct {
	host Host
	call *Call
	// roles are those that the action declares.
	roles []string
	// Log writes lines for the release's log.
	Log Log
	// Progress is what people see while a call runs.
	Progress Progress
}

func newContext(host Host, call *Call, roles []string) *Context {
	return &Context{host, call, roles, Log{host}, Progress{host}}
}

// Release identifies the release.
func (c *Context) Release() string { return c.call.Release }

// Step is the step instance: deploy or deploy[eu-1].
func (c *Context) Step() string { return c.call.Step }

// Attempt counts the attempts of this operation from 1.
func (c *Context) Attempt() uint32 { return c.call.Attempt }

// Operation is which operation this is.
func (c *Context) Operation() Operation { return c.call.Operation }

// IdempotencyKey is the same for the attempts of this operation until one of them has got a definite answer, and for Find.
func (c *Context) IdempotencyKey() string { return c.call.IdempotencyKey }

// Deadline is when the host will stop this attempt, waits included; false if there is none.
func (c *Context) Deadline() (time.Time, bool) { return c.call.Deadline, !c.call.Deadline.IsZero() }

// DryRun tells whether writes are stopped by the host.
func (c *Context) DryRun() bool { return c.call.DryRun }

// Value is a value of the call's open list: tenant, environment, actor, traceparent. Empty if there is none.
func (c *Context) Value(name string) string {
	for _, it := range c.call.Context {
		if it.Name == name {
			return it.Value
		}
	}
	return ""
}

// Now is the time of day.
func (c *Context) Now() time.Time { return c.host.Now() }

// Callback makes an address that wakes the step when the other side calls it.
func (c *Context) Callback() Callback { return c.host.Callback() }

// Connection is the connection bound to a role; an error that says what to do if there is none.
func (c *Context) Connection(role string) (*Connection, error) {
	if connection := c.OptionalConnection(role); connection != nil {
		return connection, nil
	}
	if slices.Contains(c.roles, role) {
		return nil, Fail(Invalid, "connection-missing", "no connection is bound to the role `%s`: a workflow's step names one in `connection`, a test gives its host one", role).Never()
	}
	declared := "none"
	if len(c.roles) > 0 {
		declared = "`" + strings.Join(c.roles, "`, `") + "`"
	}
	return nil, Fail(Invalid, "connection-missing", "the action has no role `%s`; it declares %s", role, declared).Never()
}

// OptionalConnection is the connection bound to an optional role, or nil.
func (c *Context) OptionalConnection(role string) *Connection {
	endpoint := c.host.Connection(role)
	if endpoint == nil {
		return nil
	}
	return &Connection{Endpoint: *endpoint, host: c.host, key: c.call.IdempotencyKey}
}

// Started is a piece of work that start has begun, under an idempotency key of its own.
type Started struct {
	host Host
	// Key is by which the other system knows it.
	Key string
}

// Starts are the pieces of work that start of this step has begun, oldest first; while it goes on the last is its own. There
// may be something of each for a rollback to undo, also where the answer never came back. [Recorded] tells what [Once] came to
// in one of them.
func (c *Context) Starts() []Started {
	keys := c.Value("start-keys")
	if keys == "" && c.call.Operation == Start {
		keys = c.call.IdempotencyKey
	}
	var starts []Started
	for _, key := range strings.Fields(keys) {
		starts = append(starts, Started{c.host, key})
	}
	return starts
}

// Once does a part of this piece of work once: what came back is recorded, and another attempt under the same idempotency key
// gets it without doing it again. After a definite answer the key is another, and so is the work. An error is not recorded.
func Once[T any](ctx *Context, name string, part func() (T, error)) (T, error) {
	return Checkpoint(ctx, partOf(name, ctx.call.IdempotencyKey), part)
}

// partOf is the checkpoint of a part of one piece of work.
func partOf(name, key string) string { return name + "/" + key }

// Checkpoint does a part of the step once, however often that is tried: what came back is recorded, and all later attempts and
// operations of the step get it without doing it again, until a person has the whole step run again. For what was so before the
// step; for what it does there is [Once]. An error is not recorded.
func Checkpoint[T any](ctx *Context, name string, part func() (T, error)) (T, error) {
	recorded, slot := ctx.host.Begin(name)
	if slot == nil {
		return readPart[T](name, recorded)
	}
	value, err := part()
	if err != nil {
		slot.Drop()
		return value, err
	}
	written, err := encode(value)
	if err != nil {
		slot.Drop()
		return value, Fail(Internal, "checkpoint", "the checkpoint `%s`: %v", name, err).Never()
	}
	slot.Finish(written)
	return value, nil
}

// A Recorder is whose parts are recorded: a *[Context], the step's; or a [Started], those of one piece of work.
type Recorder interface {
	begin(name string) ([]byte, Slot)
}

func (c *Context) begin(name string) ([]byte, Slot) { return c.host.Begin(name) }

func (s Started) begin(name string) ([]byte, Slot) { return s.host.Begin(partOf(name, s.Key)) }

// Recorded is what a part came to, and whether it was done.
func Recorded[T any](of Recorder, name string) (T, bool, error) {
	var none T
	recorded, slot := of.begin(name)
	if slot != nil {
		slot.Drop()
		return none, false, nil
	}
	value, err := readPart[T](name, recorded)
	return value, err == nil, err
}

func readPart[T any](name string, recorded []byte) (T, error) {
	var value T
	if err := decode(recorded, &value, false); err != nil {
		return value, Fail(Internal, "checkpoint", "the checkpoint `%s`: %v", name, err).Never()
	}
	return value, nil
}

// Unnamed is the name of a value that a line was given without one, as in log/slog.
const Unnamed = "!BADKEY"

// Log writes lines; fields are names and values in turn, as in log/slog. A value without a name is kept as [Unnamed], and in a
// test of windlasstest makes the step fail.
type Log struct{ host Host }

func (l Log) line(level, message string, fields []any) {
	var details []Detail
	for len(fields) > 0 {
		name, isName := fields[0].(string)
		if !isName || len(fields) == 1 {
			details = append(details, Detail{Unnamed, fmt.Sprint(fields[0])})
			fields = fields[1:]
			continue
		}
		details = append(details, Detail{name, fmt.Sprint(fields[1])})
		fields = fields[2:]
	}
	l.host.Log(level, message, details)
}

// Trace is only for whoever debugs the plugin.
func (l Log) Trace(message string, fields ...any) { l.line("trace", message, fields) }

// Debug is only for whoever debugs the step.
func (l Log) Debug(message string, fields ...any) { l.line("debug", message, fields) }

// Info is what happens.
func (l Log) Info(message string, fields ...any) { l.line("info", message, fields) }

// Warn is what might go wrong.
func (l Log) Warn(message string, fields ...any) { l.line("warn", message, fields) }

// Error is what went wrong.
func (l Log) Error(message string, fields ...any) { l.line("error", message, fields) }

// Progress is what people see; the last value of each stands.
type Progress struct{ host Host }

// Status is one short sentence.
func (p Progress) Status(format string, arguments ...any) {
	p.host.Status(fmt.Sprintf(format, arguments...))
}

// Percent is 0 to 100.
func (p Progress) Percent(value int) { p.host.Percent(uint8(max(0, min(100, value)))) }

// Link is a place to look at, kept with the step.
func (p Progress) Link(title, url string) { p.host.Link(title, url) }
