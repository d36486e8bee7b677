//! Seeds that found something, by the name of what they found.
