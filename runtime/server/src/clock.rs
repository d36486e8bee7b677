//! The wall clock and chance: what the runtime asks of the machine, beside its disk.
//!
//! A thread can be given another machine ([`simulate`]). That is of the thread, as tokio's paused time is of the
//! runtime that one is in: a simulation runs all of an installation in one thread, and many side by side.
//!
//! **Invariant:** nothing else in this crate reads a clock for anything that is decided or recorded, or draws a
//! number, but for the key in a state directory, which is made once.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use windlass_model::time::Timestamp;

/// Another machine's clock and dice.
pub trait Machine {
    /// What its wall clock shows.
    fn now(&self) -> Timestamp;
    /// A number that nobody can foresee, on a real one.
    fn draw(&self) -> u64;
}

thread_local! {
    static MACHINE: RefCell<Option<Rc<dyn Machine>>> = const { RefCell::new(None) };
}

/// For as long as it is kept, the thread is on another machine.
#[must_use = "when it is dropped, the thread is back on the real machine"]
pub struct Simulated(PhantomData<Rc<()>>);

/// Gives this thread another machine.
pub fn simulate(machine: Rc<dyn Machine>) -> Simulated {
    MACHINE.set(Some(machine));
    Simulated(PhantomData)
}

impl Drop for Simulated {
    fn drop(&mut self) {
        MACHINE.set(None);
    }
}

/// Whether this thread is on another machine.
pub(crate) fn is_simulated() -> bool {
    MACHINE.with_borrow(Option::is_some)
}

/// Now.
pub(crate) fn now() -> Timestamp {
    let simulated = MACHINE.with_borrow(|it| it.as_ref().map(|it| it.now()));
    simulated.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    })
}

/// A number that nobody can foresee.
pub(crate) fn dice() -> u64 {
    let simulated = MACHINE.with_borrow(|it| it.as_ref().map(|it| it.draw()));
    simulated.unwrap_or_else(rand::random)
}

/// 16 bytes that nobody can foresee.
pub(crate) fn random_bytes() -> [u8; 16] {
    if !is_simulated() {
        return rand::random();
    }
    let mut bytes = [0; 16];
    bytes.chunks_exact_mut(8).for_each(|it| it.copy_from_slice(&dice().to_be_bytes()));
    bytes
}

/// This thread's clock follows tokio's, which a test pauses.
#[cfg(test)]
pub(crate) fn follow_tokio() -> Simulated {
    struct Follows(tokio::time::Instant);
    impl Machine for Follows {
        fn now(&self) -> Timestamp {
            Timestamp(u64::try_from(self.0.elapsed().as_millis()).expect("short"))
        }
        fn draw(&self) -> u64 {
            7
        }
    }
    simulate(Rc::new(Follows(tokio::time::Instant::now())))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Still;

    impl Machine for Still {
        fn now(&self) -> Timestamp {
            Timestamp(17)
        }
        fn draw(&self) -> u64 {
            4
        }
    }

    #[test]
    fn a_thread_is_on_another_machine_until_it_is_not() {
        let simulated = simulate(Rc::new(Still));
        assert_eq!((now(), dice(), dice()), (Timestamp(17), 4, 4));
        assert_eq!(random_bytes(), random_bytes());
        let elsewhere = std::thread::spawn(|| (is_simulated(), now())).join().expect("it does not panic");
        assert!(!elsewhere.0 && elsewhere.1 > Timestamp(17));
        drop(simulated);
        assert!(!is_simulated() && now() > Timestamp(17));
        assert_ne!(random_bytes(), random_bytes());
    }
}
