//! The small file `STATE` beside sled's own files: whose directory it is, which database in it is the
//! one, and how it was left. Outside sled because sled cannot be believed after a power loss.
//!
//! ```text
//! format 2
//! store <id>
//! sled <number>
//! left opening <attempt> <boot id> | left running <boot id> | left clean | left suspect
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Format of the directory and of keys and values in sled. An older or newer one is rebuilt, never
/// converted. 1 had sled's files beside `STATE`, and values without sums.
const FORMAT: u32 = 2;
pub(super) const STATE: &str = "STATE";
const STATE_NEW: &str = "STATE.new";
/// sled may end the process, or never come back, on files that are damaged enough: so often it is tried.
const OPENINGS_MAX: u32 = 2;

/// Whose data this is, and which run of the machine this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Id of the store whose log the view follows; with its epoch, since a restore changes that.
    pub store_id: String,
    /// From [`boot_id`]; `None` when the system has none: then only a clean stop is trusted.
    pub boot_id: Option<String>,
}

/// The random id that Linux gives to each boot.
pub fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

/// How a directory is left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// By a process that ended while it opened the database, for the so manieth time in a row.
    Opening { attempt: u32 },
    /// By a process that runs, or was killed.
    Running,
    /// By a clean stop: everything is fsynced.
    Clean,
    /// By a process that could not read it.
    Suspect,
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Database `number` should hold data that can be trusted.
    Usable { number: u64, openings: u32 },
    /// The directory has to be set aside, and why.
    Unusable(&'static str),
}

/// Reads the file of `dir`; a missing one is as bad as a damaged one.
pub(super) fn judge(dir: &Path, identity: &Identity) -> io::Result<Verdict> {
    match fs::read(dir.join(STATE)) {
        Ok(bytes) => Ok(judge_text(&String::from_utf8_lossy(&bytes), identity)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(judge_text("", identity)),
        Err(error) => Err(error),
    }
}

fn judge_text(state: &str, identity: &Identity) -> Verdict {
    const UNREADABLE: Verdict = Verdict::Unusable("no readable STATE file");
    const REBOOTED: Verdict = Verdict::Unusable("the machine restarted without a clean stop");
    let mut lines = state.lines();
    let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let (format, store) = (value("format"), value("store"));
    let Some(format) = format.and_then(|text| text.parse::<u32>().ok()) else {
        return UNREADABLE;
    };
    if format != FORMAT {
        return Verdict::Unusable("another format");
    }
    if store != Some(identity.store_id.as_str()) {
        return Verdict::Unusable("another store's");
    }
    let number = value("sled").and_then(|text| text.parse::<u64>().ok());
    let (Some(number), Some(left)) = (number, value("left")) else {
        return UNREADABLE;
    };
    let usable = |openings| Verdict::Usable { number, openings };
    let of_this_boot = |boot: &str| Some(boot) == identity.boot_id.as_deref();
    match left.split(' ').collect::<Vec<_>>().as_slice() {
        ["clean"] => usable(0),
        ["running", boot] if of_this_boot(boot) => usable(0),
        ["running", _] => REBOOTED,
        ["opening", attempt, boot] if of_this_boot(boot) => match attempt.parse::<u32>() {
            Ok(attempt) if attempt < OPENINGS_MAX => usable(attempt),
            Ok(_) => Verdict::Unusable("opening it ended the process again and again"),
            Err(_) => UNREADABLE,
        },
        ["opening", _, _] => REBOOTED,
        ["suspect"] => Verdict::Unusable("it could not be read before"),
        [..] => UNREADABLE,
    }
}

/// Notes durably which database counts and how it is left.
pub(super) fn write(dir: &Path, identity: &Identity, number: u64, left: Left) -> io::Result<()> {
    let boot = identity.boot_id.as_deref().unwrap_or("unknown");
    let left = match left {
        Left::Opening { attempt } => format!("opening {attempt} {boot}"),
        Left::Running => format!("running {boot}"),
        Left::Clean => "clean".to_owned(),
        Left::Suspect => "suspect".to_owned(),
    };
    let store = &identity.store_id;
    let text = format!("format {FORMAT}\nstore {store}\nsled {number}\nleft {left}\n");
    // sled's files have the mode of the umask, and hold personal data: nobody else gets at them.
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let new = dir.join(STATE_NEW);
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, dir.join(STATE))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_text_is_believed() {
        let identity = Identity {
            store_id: "s1".to_owned(),
            boot_id: Some("b1".to_owned()),
        };
        let usable = [
            ("clean", 0),
            ("running b1", 0),
            ("opening 0 b1", 0),
            ("opening 1 b1", 1),
        ];
        for (left, openings) in usable {
            let text = format!("format 2\nstore s1\nsled 7\nleft {left}\n");
            let number = 7;
            assert_eq!(
                judge_text(&text, &identity),
                Verdict::Usable { number, openings }
            );
            for end in 0..text.len() - 1 {
                let torn = judge_text(&text[..end], &identity);
                assert!(matches!(torn, Verdict::Unusable(_)), "{:?}", &text[..end]);
            }
        }
        for left in [
            "suspect",
            "running b2",
            "opening 1 b2",
            "opening 2 b1",
            "opening x b1",
            "clean b1",
            "running",
        ] {
            let text = format!("format 2\nstore s1\nsled 7\nleft {left}\n");
            assert!(matches!(judge_text(&text, &identity), Verdict::Unusable(_)));
        }
    }
}
