package windlass

// tags are those of a field that mean something here.
var tags = []string{"json", "doc", "enum", "default", "min", "max"}
