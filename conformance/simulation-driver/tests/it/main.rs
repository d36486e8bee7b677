//! Quick set.
