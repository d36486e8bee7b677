package windlass

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
)

// authors is the first place of a stack that is the plugin author's, as main.go:48: neither the SDK's nor the standard
// library's. Empty if there is none.
func authors(stack []uintptr) string {
	frames := runtime.CallersFrames(stack)
	for more := len(stack) > 0; more; {
		var it runtime.Frame
		it, more = frames.Next()
		if it.Function != "" && !strings.HasPrefix(it.File, "<") && !isSDK(it.Function) && !isStandard(it) {
			return fmt.Sprintf("%s:%d", filepath.Base(it.File), it.Line)
		}
	}
	return ""
}

// stack is who called, from the caller of its caller on.
func stack() []uintptr {
	var callers [64]uintptr
	return callers[:runtime.Callers(3, callers[:])]
}

// packageOf is the import path in a function's name: of jobs/inside.(*Client).Send it is jobs/inside.
func packageOf(function string) string {
	function, _, _ = strings.Cut(function, "[")
	last := strings.LastIndexByte(function, '/') + 1
	name, _, _ := strings.Cut(function[last:], ".")
	return function[:last] + name
}

func isSDK(function string) bool {
	path := packageOf(function)
	return (path == "windlass.dev/go" || strings.HasPrefix(path, "windlass.dev/go/")) && !strings.HasSuffix(path, "_test")
}

// standard is the folder of the standard library's source; empty in a component, where paths are left out.
var standard = sync.OnceValue(func() string {
	function := runtime.FuncForPC(reflect.ValueOf(runtime.GC).Pointer())
	file, _ := function.FileLine(function.Entry())
	return file[:max(0, strings.LastIndex(file, "runtime/"))]
})

func isStandard(it runtime.Frame) bool {
	if standard() != "" {
		return strings.HasPrefix(it.File, standard())
	}
	// Without paths a package of a module that is not named as an address is taken for one, too: the main package is named.
	path, _, _ := strings.Cut(packageOf(it.Function), "/")
	return path != "main" && !strings.Contains(path, ".") && !strings.HasSuffix(path, "_test")
}

// calls are what runs, by goroutine: tests run several at a time, and [Suspend] is told of none.
var calls struct {
	sync.Mutex
	running map[string]*running
}

// running is a call, and who called [Suspend] in it last.
type running struct{ suspended []uintptr }

// enter begins a call, until the function that it gives is called.
func enter() (call *running, leave func()) {
	call = &running{}
	id := goroutine()
	calls.Lock()
	defer calls.Unlock()
	outer, nested := calls.running[id]
	if calls.running == nil {
		calls.running = map[string]*running{}
	}
	calls.running[id] = call
	return call, func() {
		calls.Lock()
		defer calls.Unlock()
		if nested {
			calls.running[id] = outer
		} else {
			delete(calls.running, id)
		}
	}
}

// noteSuspension is for Suspend alone: it keeps who called it.
func noteSuspension() {
	id := goroutine()
	calls.Lock()
	defer calls.Unlock()
	if call := calls.running[id]; call != nil {
		call.suspended = stack()
	}
}

// goroutine is which one runs. Go tells it in the first line of a stack alone: `goroutine 7 [running]:`.
func goroutine() string {
	var text [64]byte
	line := text[:runtime.Stack(text[:], false)]
	id, _, _ := bytes.Cut(bytes.TrimPrefix(line, []byte("goroutine ")), []byte(" "))
	return string(id)
}
