//go:build !wasip1

// Package component makes a component of a plugin.
package component

import "windlass.dev/go"

// Export does nothing outside of a component: there a plugin's tests call it.
func Export(*windlass.Plugin) {}
