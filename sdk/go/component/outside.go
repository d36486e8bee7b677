//go:build !wasip1

// Package component makes a component of a plugin.
package component

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"windlass.dev/go"
)

// Export ends a plugin's tests where its declarations are wrong, with what is: no component would be made of it. Else it does
// nothing outside of a component.
func Export(plugin *windlass.Plugin) {
	if err := plugin.Sound(); err != nil {
		_, file, line, _ := runtime.Caller(1)
		fmt.Fprintf(os.Stderr, "%s:%d: %v\n", filepath.Base(file), line, err)
		os.Exit(1)
	}
}
