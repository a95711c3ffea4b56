//! How far a long run is, with the rate and the time that is left: a bar on a terminal, else, when asked for,
//! a line now and then.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

const REDRAWS_PER_SECOND: u8 = 4;
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Users,
    Commits,
}

impl Unit {
    fn with_end(self) -> &'static str {
        match self {
            Unit::Bytes => "{bar:30} {percent:>3} %  {binary_bytes_per_sec}  {eta} left  {msg}",
            Unit::Users | Unit::Commits => "{bar:30} {percent:>3} %  {per_sec}  {eta} left  {msg}",
        }
    }

    fn without_end(self) -> &'static str {
        match self {
            Unit::Bytes => "{spinner} {binary_bytes} read  {binary_bytes_per_sec}  {msg}",
            Unit::Users | Unit::Commits => "{spinner} {per_sec}  {msg}",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Progress {
    /// Draws nothing where stderr is no terminal, but counts.
    bar: ProgressBar,
    unit: Unit,
    /// When the next line is due, where lines take the place of the bar.
    line_at: Option<Duration>,
    /// What an earlier run did is no part of the rate.
    is_begun: bool,
}

impl Progress {
    pub(crate) fn new(unit: Unit, end: Option<u64>, is_asked_for: bool) -> Progress {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
        let has_lines = is_asked_for && !stderr().is_terminal();
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
            unit,
            line_at: has_lines.then_some(Duration::ZERO),
            is_begun: false,
        }
    }

    pub(crate) fn reached(&mut self, place: u64, text: impl Display) {
        if !self.is_begun {
            self.bar.set_position(place);
            self.bar.reset_eta();
            self.is_begun = true;
        }
        let text = text.to_string();
        self.bar.set_position(place);
        let elapsed = self.bar.elapsed();
        if self.line_at.is_some_and(|line_at| elapsed >= line_at) {
            output::note(&self.line(&text));
            self.line_at = Some(elapsed + BETWEEN_LINES);
        }
        self.bar.set_message(text);
    }

    fn line(&self, text: &str) -> String {
        let per_second = self.bar.per_sec() as u64;
        let rate = match self.unit {
            Unit::Bytes => HumanBytes(per_second).to_string(),
            Unit::Users | Unit::Commits => per_second.to_string(),
        };
        let left = HumanDuration(self.bar.eta());
        match self.bar.length() {
            Some(_) => format!("{text}, {rate} a second, {left} left"),
            None => format!("{text}, {rate} a second"),
        }
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
