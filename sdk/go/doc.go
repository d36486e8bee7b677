// Package windlass is for writing Windlass plugins in Go.
//
// A plugin is a [Plugin] with its actions, each an [Action] with the structs that it reads and gives. Its main package hands
// it to [windlass.dev/go/component.Export] in an init function; everything else also runs outside of a component, so that a
// plugin's tests need none: see [windlass.dev/go/windlasstest].
package windlass
