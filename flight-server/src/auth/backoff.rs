//! Guessing passwords is slow.
//!
//! After a few failures the next attempt must wait, longer after each: for a user from one address, and, with shorter waits,
//! for an address with any user. While it waits an attempt is refused without a look at its password, whether there is such a
//! user or not. Nobody waits for what others tried from elsewhere: that would let strangers keep a user out. What is known of
//! is bounded and forgotten; nothing of it is in the lake.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::clock::Clock;

/// Users and addresses that are remembered.
const ENTRIES_MAX: usize = 10_000;
/// Failures are forgotten after such a time without more.
const FORGOTTEN: Duration = Duration::from_secs(600);
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Who failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    User(u64, Option<IpAddr>),
    Address(IpAddr),
}

impl Subject {
    /// Failures before it has to wait, and how long at most.
    fn bounds(&self) -> (u32, Duration) {
        match self {
            Self::User(..) => (5, Duration::from_secs(30)),
            Self::Address(_) => (20, Duration::from_secs(5)),
        }
    }
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
    /// No attempt before.
    until: Instant,
}

/// The failed logins of a server. Methods may be called at once.
#[derive(Debug)]
pub struct Backoff {
    failures: Mutex<HashMap<Subject, Failures>>,
    names: std::hash::RandomState,
    clock: Clock,
}

impl Backoff {
    pub fn new(clock: Clock) -> Self {
        Self { failures: Mutex::default(), names: std::hash::RandomState::new(), clock }
    }

    /// An attempt begins; an error says how long it has to wait. Of those that may begin after a wait one does at a time.
    pub fn begin(&self, user: &str, address: Option<IpAddr>) -> Result<(), Duration> {
        let now = self.clock.now();
        let subjects = self.subjects(user, address);
        let mut failures = self.failures.lock();
        let wait = |subject| failures.get(subject).map(|failed| failed.until.saturating_duration_since(now));
        if let Some(wait) = subjects.iter().filter_map(wait).max().filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        for subject in &subjects {
            if let Some(failed) = failures.get_mut(subject) {
                failed.until = now + wait_after(subject, failed.count);
            }
        }
        Ok(())
    }

    /// It had the wrong password.
    pub fn failed(&self, user: &str, address: Option<IpAddr>) {
        let now = self.clock.now();
        let mut failures = self.failures.lock();
        for subject in self.subjects(user, address) {
            if failures.len() >= ENTRIES_MAX && !failures.contains_key(&subject) {
                make_room(&mut failures, now);
            }
            let failed = failures.entry(subject.clone()).or_insert(Failures { count: 0, last: now, until: now });
            if now.saturating_duration_since(failed.last) >= FORGOTTEN {
                failed.count = 0;
            }
            failed.count = failed.count.saturating_add(1);
            failed.last = now;
            failed.until = failed.until.max(now + wait_after(&subject, failed.count));
        }
    }

    /// It had the right one. That says nothing of what else its address tries.
    pub fn succeeded(&self, user: &str, address: Option<IpAddr>) {
        let mut failures = self.failures.lock();
        for subject in self.subjects(user, address) {
            match &subject {
                Subject::User(..) => drop(failures.remove(&subject)),
                // It did not fail, so it need not wait for itself.
                Subject::Address(_) => {
                    if let Some(failed) = failures.get_mut(&subject) {
                        failed.until = self.clock.now();
                    }
                }
            }
        }
    }

    /// Names may be as long as headers: a hash stands for each.
    fn subjects(&self, user: &str, address: Option<IpAddr>) -> Vec<Subject> {
        use std::hash::BuildHasher;
        let user = self.names.hash_one(user);
        [Subject::User(user, address)].into_iter().chain(address.map(Subject::Address)).collect()
    }
}

fn wait_after(subject: &Subject, count: u32) -> Duration {
    let (free, longest) = subject.bounds();
    match count.checked_sub(free) {
        None => Duration::ZERO,
        Some(more) => FIRST_WAIT.saturating_mul(1 << more.min(16)).min(longest),
    }
}

/// Forgets what is old, else what failed longest ago.
fn make_room(failures: &mut HashMap<Subject, Failures>, now: Instant) {
    failures.retain(|_, failed| now.saturating_duration_since(failed.last) < FORGOTTEN);
    if failures.len() >= ENTRIES_MAX
        && let Some(oldest) = failures.iter().min_by_key(|(_, failed)| failed.last).map(|(subject, _)| subject.clone())
    {
        failures.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const AWAY: Option<IpAddr> = Some(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST));

    fn fail(backoff: &Backoff, user: &str, address: Option<IpAddr>, times: usize) {
        for _ in 0..times {
            backoff.failed(user, address);
        }
    }

    #[test]
    fn after_some_failures_each_one_doubles_the_wait_up_to_a_bound() {
        let clock = Clock::stopped();
        let backoff = Backoff::new(clock.clone());
        fail(&backoff, "ann", HOME, 4);
        assert_eq!(backoff.begin("ann", HOME), Ok(()));
        let mut waits = Vec::new();
        for _ in 0..8 {
            backoff.failed("ann", HOME);
            let wait = backoff.begin("ann", HOME).unwrap_err();
            waits.push(wait.as_secs());
            clock.advance(wait);
            assert_eq!(backoff.begin("ann", HOME), Ok(()));
            // Another one at the same time has to wait.
            assert!(backoff.begin("ann", HOME).is_err());
            clock.advance(Duration::from_secs(31));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn others_and_other_places_do_not_wait_and_the_right_password_ends_it() {
        let backoff = Backoff::new(Clock::stopped());
        fail(&backoff, "ann", HOME, 6);
        assert!(backoff.begin("ann", HOME).is_err());
        assert_eq!(backoff.begin("bob", HOME), Ok(()));
        assert_eq!(backoff.begin("ann", AWAY), Ok(()));
        backoff.succeeded("ann", HOME);
        assert_eq!(backoff.begin("ann", HOME), Ok(()));
    }

    #[test]
    fn an_address_with_many_names_waits_a_little_and_no_other() {
        let backoff = Backoff::new(Clock::stopped());
        for n in 0..30 {
            fail(&backoff, "ann", Some(IpAddr::V4((n + 1).into())), 4);
            fail(&backoff, &format!("user {n}"), AWAY, 1);
        }
        assert_eq!(backoff.begin("ann", HOME), Ok(()));
        assert!(backoff.begin("somebody else", AWAY).unwrap_err() <= Duration::from_secs(5));
        // A good login of one user frees nobody else there.
        backoff.succeeded("user 1", AWAY);
        fail(&backoff, "user 2", AWAY, 1);
        assert!(backoff.begin("user 3", AWAY).is_err());
    }

    #[test]
    fn failures_are_forgotten_and_bounded() {
        let clock = Clock::stopped();
        let backoff = Backoff::new(clock.clone());
        fail(&backoff, "ann", HOME, 6);
        clock.advance(FORGOTTEN);
        fail(&backoff, "ann", HOME, 1);
        assert_eq!(backoff.begin("ann", HOME), Ok(()));
        for n in 0..ENTRIES_MAX {
            fail(&backoff, &format!("user {n}"), None, 1);
        }
        assert_eq!(backoff.failures.lock().len(), ENTRIES_MAX);
    }
}
