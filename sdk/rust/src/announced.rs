//! Which optional operations an action implements, for [`plugin!`](crate::plugin!) to compare with what it announces.
//!
//! A constant of the type itself goes before one of a trait, and is there only where its bound holds.

use crate::action::{Action, Cancel, Find, Rollback};
use std::marker::PhantomData;

/// Asked of an action: `Implements::<A>::ROLLBACK`.
pub struct Implements<A: Action>(PhantomData<A>);

/// What holds where nothing else is known.
pub trait ImplementsNot {
    /// Whether it can be stopped.
    const CANCEL: bool = false;
    /// Whether its effect can be taken back.
    const ROLLBACK: bool = false;
    /// Whether it can look for its effect.
    const FIND: bool = false;
}

impl<A: Action> ImplementsNot for Implements<A> {}

impl<A: Cancel> Implements<A> {
    /// It can be stopped.
    pub const CANCEL: bool = true;
}

impl<A: Rollback> Implements<A> {
    /// Its effect can be taken back.
    pub const ROLLBACK: bool = true;
}

impl<A: Find> Implements<A> {
    /// It can look for its effect.
    pub const FIND: bool = true;
}

/// Whether a name is one of those.
pub const fn is_among(names: &[&str], name: &str) -> bool {
    let mut at = 0;
    while at < names.len() {
        if is_same(names[at].as_bytes(), name.as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}
