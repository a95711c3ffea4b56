//! History as a diff: one block a change, the old value of each field above the new one.

use std::io::{IsTerminal, stdout};

use profile_messages::reply::{HistoryChange, HistoryReply};

use super::human::escaped;

/// Whether lines are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Coloured,
}

impl Ink {
    /// Colour for a terminal only, and not where <https://no-color.org> is asked for.
    pub(super) fn of_stdout() -> Ink {
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match stdout().is_terminal() && !is_refused {
            true => Ink::Coloured,
            false => Ink::Plain,
        }
    }

    fn red(self, line: &str) -> String {
        self.paint("\u{1b}[31m", line)
    }

    fn green(self, line: &str) -> String {
        self.paint("\u{1b}[32m", line)
    }

    fn paint(self, start: &str, line: &str) -> String {
        match self {
            Ink::Plain => format!("{line}\n"),
            Ink::Coloured => format!("{start}{line}\u{1b}[0m\n"),
        }
    }
}

pub(super) fn history(page: &HistoryReply, ink: Ink) -> String {
    page.changes
        .iter()
        .map(|change| block(change, ink))
        .collect()
}

fn block(change: &HistoryChange, ink: Ink) -> String {
    let head = format!(
        "version {}  {}  {} by {}\n",
        change.sequence,
        change.change_date,
        escaped(&change.kind),
        escaped(&change.editor_id)
    );
    change.fields.iter().fold(head, |text, field| {
        let name = escaped(&field.field);
        let old = field
            .old
            .as_deref()
            .map(|old| ink.red(&format!("  - {name}: \"{}\"", escaped(old))));
        let new = ink.green(&format!("  + {name}: \"{}\"", escaped(&field.new)));
        text + &old.unwrap_or_default() + &new
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../../../messages/golden/reply-history.json");

    #[test]
    fn a_change_is_a_block_with_old_above_new() {
        let page: HistoryReply = serde_json::from_str(GOLDEN).unwrap();
        let expected = "version 3  2025-09-07T08:55:36Z  removed by admin\n\
            version 2  2025-09-06T08:55:36.500Z  changed by admin\n  \
            - nickName: \"\"\n  \
            + nickName: \"Zoë \"日本\" 👩\"\n  \
            - gender: \"GENDER_UNSPECIFIED\"\n  \
            + gender: \"GENDER_DIVERSE\"\n\
            version 1  2025-09-05T08:55:36.156333Z  created by admin\n  \
            + firstName: \"Ada\"\n";
        assert_eq!(history(&page, Ink::Plain), expected);
    }

    #[test]
    fn a_value_cannot_colour_the_terminal_and_a_coloured_line_ends_its_colour() {
        let mut page: HistoryReply = serde_json::from_str(GOLDEN).unwrap();
        for field in page
            .changes
            .iter_mut()
            .flat_map(|change| &mut change.fields)
        {
            field.new = "\u{1b}[31mred".to_owned();
        }
        assert!(!history(&page, Ink::Plain).contains('\u{1b}'));
        let coloured = history(&page, Ink::Coloured);
        let lines = coloured.lines().filter(|line| line.contains('\u{1b}'));
        assert!(lines.clone().count() > 0);
        for line in lines {
            assert!(line.ends_with("\u{1b}[0m"), "{line}");
        }
    }
}
