//! How many of the last samples failed, counted in buckets of time.

use std::collections::VecDeque;

use windlass_model::time::Span;

/// A window is as many buckets long; the oldest goes as a whole.
const BUCKETS: u64 = 60;

/// Counts in a rolling window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// How long a bucket is, in milliseconds.
    width: u64,
    /// At most [`BUCKETS`], the oldest first.
    buckets: VecDeque<Bucket>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bucket {
    number: u64,
    failures: u64,
    samples: u64,
}

impl Window {
    pub(super) fn of(length: Span) -> Self {
        Self { width: length.as_millis().div_ceil(BUCKETS).max(1), buckets: VecDeque::new() }
    }

    /// Counts a sample; `elapsed` never goes back.
    pub(super) fn add(&mut self, elapsed: u64, failed: bool) {
        let number = elapsed / self.width;
        self.slide(number);
        if self.buckets.back().is_none_or(|it| it.number != number) {
            self.buckets.push_back(Bucket { number, failures: 0, samples: 0 });
        }
        if let Some(bucket) = self.buckets.back_mut() {
            bucket.failures = bucket.failures.saturating_add(u64::from(failed));
            bucket.samples = bucket.samples.saturating_add(1);
        }
    }

    /// Failures and samples.
    pub(super) fn counts(&mut self, elapsed: u64) -> (u64, u64) {
        self.slide(elapsed / self.width);
        let add = |(failures, samples): (u64, u64), it: &Bucket| {
            (failures.saturating_add(it.failures), samples.saturating_add(it.samples))
        };
        self.buckets.iter().fold((0, 0), add)
    }

    fn slide(&mut self, number: u64) {
        while self.buckets.front().is_some_and(|it| it.number.saturating_add(BUCKETS) <= number) {
            self.buckets.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_count_for_the_length_of_the_window_and_take_no_room() {
        let mut window = Window::of(Span::seconds(60));
        for second in 0..1_000_000 {
            window.add(second * 1000, second % 4 == 0);
            assert!(window.buckets.len() <= 60);
        }
        assert_eq!(window.counts(999_999_000), (15, 60));
        assert_eq!(window.counts(999_999_000 + 30_000), (7, 30));
        assert_eq!(window.counts(999_999_000 + 60_000), (0, 0));
        // A short one is as long as it says.
        let mut window = Window::of(Span(30));
        window.add(0, true);
        assert_eq!((window.counts(59), window.counts(60)), ((1, 1), (0, 0)));
    }
}
