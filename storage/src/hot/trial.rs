//! Decides from a sample whether a test of rows pays.

/// Rows after which it is decided whether testing pays.
const TRIAL_ROWS: usize = 64 * 1024;
/// Testing rests when it lets more than this share of the trial's rows pass.
const PASSING_PERCENT_MAX: usize = 70;
/// Rows that pass untested before the next trial: later rows, or a filter that has become narrower, may differ.
const REST_ROWS: usize = 64 * TRIAL_ROWS;

/// A test that lets most rows pass costs more than it saves: it rests then, and is tried again later. Only for tests that
/// change no answer, because somebody tests each row again.
#[derive(Debug, Default)]
pub struct Trial {
    tested: usize,
    passed: usize,
    /// Rows still to let through untested.
    rest: usize,
}

impl Trial {
    /// Whether the next `rows` are to be tested.
    pub fn tests(&mut self, rows: usize) -> bool {
        let tests = self.rest == 0;
        self.rest = self.rest.saturating_sub(rows);
        tests
    }

    /// What a test found.
    pub fn saw(&mut self, tested: usize, passed: usize) {
        self.tested += tested;
        self.passed += passed;
        if self.tested >= TRIAL_ROWS {
            if self.passed * 100 > self.tested * PASSING_PERCENT_MAX {
                self.rest = REST_ROWS;
            }
            (self.tested, self.passed) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_lets_all_pass_rests_and_is_tried_again() {
        let mut trial = Trial::default();
        assert!(trial.tests(TRIAL_ROWS));
        trial.saw(TRIAL_ROWS, TRIAL_ROWS);
        let untested = std::iter::repeat_with(|| trial.tests(TRIAL_ROWS)).take_while(|tests| !tests).count();
        assert_eq!(untested * TRIAL_ROWS, REST_ROWS);
    }

    #[test]
    fn a_test_that_drops_much_goes_on() {
        let mut trial = Trial::default();
        for _ in 0..1_000 {
            assert!(trial.tests(8_192));
            trial.saw(8_192, 100);
        }
    }
}
