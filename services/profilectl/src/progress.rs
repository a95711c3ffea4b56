//! How far a long run is: a bar with the rate and the time that is left, on a terminal or when asked for.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const REDRAWS_PER_SECOND: u8 = 4;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Users,
}

impl Unit {
    fn with_end(self) -> &'static str {
        match self {
            Unit::Bytes => "{bar:30} {percent:>3} %  {binary_bytes_per_sec}  {eta} left  {msg}",
            Unit::Users => "{bar:30} {percent:>3} %  {per_sec}  {eta} left  {msg}",
        }
    }

    fn without_end(self) -> &'static str {
        match self {
            Unit::Bytes => "{spinner} {binary_bytes} read  {binary_bytes_per_sec}  {msg}",
            Unit::Users => "{spinner} {per_sec}  {msg}",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// What an earlier run did is no part of the rate.
    is_begun: bool,
}

impl Progress {
    pub(crate) fn new(unit: Unit, end: Option<u64>, is_asked_for: bool) -> Progress {
        let target = match is_asked_for || stderr().is_terminal() {
            true => ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND),
            false => ProgressDrawTarget::hidden(),
        };
        let template = match end {
            Some(_) => unit.with_end(),
            None => unit.without_end(),
        };
        let bar = ProgressBar::with_draw_target(end, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_secs(1));
        Progress {
            bar,
            is_begun: false,
        }
    }

    pub(crate) fn reached(&mut self, place: u64, text: impl Display) {
        if !self.is_begun {
            self.bar.set_position(place);
            self.bar.reset_eta();
            self.is_begun = true;
        }
        self.bar.set_message(text.to_string());
        self.bar.set_position(place);
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
