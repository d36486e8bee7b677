//! The plugin against recorded answers of the real helm, and against a helm that is run.

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../recorded/", $name))
    };
}

mod cluster;
mod going_back;
mod script;
mod scripted;
