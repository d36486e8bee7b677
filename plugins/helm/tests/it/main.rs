//! The plugin against recorded answers of the real helm, and against a helm that is run.

mod cluster;
mod script;
mod scripted;
