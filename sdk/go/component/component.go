//go:build wasip1

// Package component makes a component of a plugin.
package component

import (
	"windlass.dev/go"
	"windlass.dev/go/internal/step"
	_ "windlass.dev/go/internal/wit/exports" // the component's exports
)

// Export makes the plugin what the component exports. A main package calls it in an init function, and has an empty main.
func Export(plugin *windlass.Plugin) { step.Plugin = plugin }
