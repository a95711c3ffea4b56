//! How far the import is: a bar with the rate and the time that is left, on a terminal or when asked for.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::results::Tally;

const REDRAWS_PER_SECOND: u8 = 4;
const WITH_END: &str = "{bar:30} {percent:>3} %  {binary_bytes_per_sec}  {eta} left  {msg}";
const WITHOUT_END: &str = "{spinner} {binary_bytes} read  {binary_bytes_per_sec}  {msg}";

#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    /// Bytes of lines that had their result before: they are no part of the rate.
    is_begun: bool,
}

impl Progress {
    pub(super) fn new(bytes: Option<u64>, is_asked_for: bool) -> Progress {
        let target = match is_asked_for || stderr().is_terminal() {
            true => ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND),
            false => ProgressDrawTarget::hidden(),
        };
        let template = bytes.map_or(WITHOUT_END, |_| WITH_END);
        let bar = ProgressBar::with_draw_target(bytes, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_secs(1));
        Progress {
            bar,
            is_begun: false,
        }
    }

    pub(super) fn reached(&mut self, byte: u64, tally: Tally) {
        if !self.is_begun {
            self.bar.set_position(byte);
            self.bar.reset_eta();
            self.is_begun = true;
        }
        self.bar.set_message(tally.to_string());
        self.bar.set_position(byte);
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
