//! `migrate`: from one node to several, by the service's own code, with a bar.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::args::MigrateArgs;
use crate::beside;
use crate::failure::Failure;
use crate::output;
use crate::progress::{Progress, Unit};

/// # Errors
/// Usage, when the service's program cannot be started; that nothing, or not everything, was moved.
pub(crate) fn migrate(args: &MigrateArgs) -> Result<(), Failure> {
    let mut command = beside::profiled("migrate");
    command.arg("--config").arg(&args.config);
    command.stdout(Stdio::piped());
    let mut running = beside::start(&mut command)?;
    let mut bars = Bars::new(args.progress);
    let told = running.stdout.take();
    for line in told
        .into_iter()
        .flat_map(|told| BufReader::new(told).lines())
    {
        let line = line?;
        match Told::of(&line) {
            Some(told) => bars.show(&told),
            None => {
                bars.end();
                output::line(&line)?;
            }
        }
    }
    bars.end();
    match running.wait()?.success() {
        true => Ok(()),
        false => Err(Failure::other(
            "not everything was moved: start it again, it goes on",
        )),
    }
}

/// `moved 12 of 34`.
struct Told<'a> {
    what: &'a str,
    place: u64,
    end: u64,
}

impl Told<'_> {
    fn of(line: &str) -> Option<Told<'_>> {
        let mut words = line.split(' ');
        let (what, place, of, end) = (words.next()?, words.next()?, words.next()?, words.next()?);
        if of != "of" || words.next().is_some() {
            return None;
        }
        Some(Told {
            what,
            place: place.parse().ok()?,
            end: end.parse().ok()?,
        })
    }
}

/// One bar after the other: of what is moved, then of what is compared.
struct Bars {
    is_asked_for: bool,
    shown: Option<(String, Progress)>,
}

impl Bars {
    fn new(is_asked_for: bool) -> Bars {
        Bars {
            is_asked_for,
            shown: None,
        }
    }

    fn show(&mut self, told: &Told<'_>) {
        if self
            .shown
            .as_ref()
            .is_some_and(|(what, _)| what != told.what)
        {
            self.end();
        }
        let is_asked_for = self.is_asked_for;
        let new = || {
            let progress = Progress::new(Unit::Commits, Some(told.end), is_asked_for);
            (told.what.to_owned(), progress)
        };
        let (what, progress) = self.shown.get_or_insert_with(new);
        progress.reached(told.place, format!("{what} {} of {}", told.place, told.end));
    }

    fn end(&mut self) {
        if let Some((_, progress)) = self.shown.take() {
            progress.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_of_progress_is_taken_for_one() {
        let told = Told::of("moved 12 of 34").unwrap();
        assert_eq!((told.what, told.place, told.end), ("moved", 12, 34));
        for other in [
            "moved store abc: 3 commits",
            "moved 12 of 34 and more",
            "",
            "a b of c",
        ] {
            assert!(Told::of(other).is_none(), "{other}");
        }
    }
}
