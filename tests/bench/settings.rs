//! What the environment says about the size of the run.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    /// Of the cells whose figures count.
    pub(crate) steady: Duration,
    /// Of the others.
    pub(crate) short: Duration,
    /// Users stored by the largest of our services.
    pub(crate) users_most: usize,
    /// Only cells whose name contains it.
    pub(crate) only: Option<String>,
    /// The benchmark of several nodes instead of that of one.
    pub(crate) several_nodes: bool,
}

impl Settings {
    /// `QUICK=1`, `ROUNDS=`, `SECONDS_EACH=` (of the cells that count), `USERS=` (of the largest store)
    /// and `ONLY=` (a part of the names of cells).
    pub(crate) fn from_env() -> Settings {
        let is_quick = number("QUICK").is_some_and(|quick| quick > 0);
        let (rounds, steady, short, users) = if is_quick {
            (3, 2, 1, 100_000)
        } else {
            (3, 60, 10, 1_000_000)
        };
        let steady = number("SECONDS_EACH").unwrap_or(steady);
        Settings {
            rounds: number("ROUNDS").map_or(rounds, |rounds| rounds as usize),
            steady: Duration::from_secs(steady),
            short: Duration::from_secs(short.min(steady)),
            users_most: number("USERS").map_or(users, |users| users as usize),
            only: std::env::var("ONLY").ok().filter(|only| !only.is_empty()),
            several_nodes: number("SEVERAL_NODES").is_some_and(|it| it > 0),
        }
    }

    /// Whether a cell of this name is to run.
    pub(crate) fn wants(&self, cell: &str) -> bool {
        let only = self.only.as_deref().map(|only| only.split(','));
        only.is_none_or(|mut only| only.any(|name| name == cell))
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text}")),
    )
}
