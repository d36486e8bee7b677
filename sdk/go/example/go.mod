module jobs

go 1.25

require windlass.dev/go v0.1.0

replace windlass.dev/go => ..
