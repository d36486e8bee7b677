package windlass

import "reflect"

// ProblemsOf is what is wrong with a type as an input, for tests with tags that are put together.
func ProblemsOf(kind reflect.Type) []string {
	var found problems
	found.inType(kind, "", "its Input", nil, true)
	return found.said
}
