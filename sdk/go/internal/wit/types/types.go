// Package types has the generic types that the generated code uses.
package types

// Unit is a value that says nothing.
type Unit struct{}

const (
	OptionNone uint8 = iota
	OptionSome
)

// Option is a value that may be missing.
type Option[T any] struct {
	tag   uint8
	value T
}

func None[T any]() Option[T]        { return Option[T]{} }
func Some[T any](value T) Option[T] { return Option[T]{OptionSome, value} }

func (o Option[T]) Tag() uint8 { return o.tag }

// Some is the value; it panics where there is none.
func (o Option[T]) Some() T {
	if o.tag != OptionSome {
		panic("an option has no value")
	}
	return o.value
}

// Get is the value, and whether there is one.
func (o Option[T]) Get() (T, bool) { return o.value, o.tag == OptionSome }

const (
	ResultOk uint8 = iota
	ResultErr
)

// Result is a value or an error.
type Result[T, E any] struct {
	tag uint8
	ok  T
	err E
}

func Ok[T, E any](value T) Result[T, E] { return Result[T, E]{tag: ResultOk, ok: value} }
func Err[T, E any](err E) Result[T, E]  { return Result[T, E]{tag: ResultErr, err: err} }

func (r Result[T, E]) Tag() uint8 { return r.tag }

// Ok is the value; it panics where there is an error.
func (r Result[T, E]) Ok() T {
	if r.tag != ResultOk {
		panic("a result is an error")
	}
	return r.ok
}

// Err is the error; it panics where there is a value.
func (r Result[T, E]) Err() E {
	if r.tag != ResultErr {
		panic("a result is no error")
	}
	return r.err
}

// Get is the value and true, or the error and false.
func (r Result[T, E]) Get() (T, E, bool) { return r.ok, r.err, r.tag == ResultOk }

// Tuple2 is two values.
type Tuple2[A, B any] struct {
	F0 A
	F1 B
}
