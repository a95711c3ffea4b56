//! The file of results: first whose import it is, then one line for each line of the input, in its order.
//! It is all that a later run needs to go on.

use std::fmt::{self, Display, Formatter};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::line::Line;
use crate::caller::Caller;
use crate::failure::Failure;

const FORMAT: u32 = 1;
/// Results written between two syncs. What a power cut takes is asked again.
const LINES_PER_SYNC_MAX: u64 = 1_000;

/// Of which input, and on whose behalf: the scope of the idempotency keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    profilectl_import: u32,
    first_line_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<String>,
    #[serde(flatten)]
    caller: Caller,
}

impl Identity {
    pub(super) fn of(
        first: &Line,
        bytes: Option<u64>,
        token: &Option<String>,
        org: Option<&str>,
    ) -> Identity {
        Identity {
            profilectl_import: FORMAT,
            first_line_sha256: first.digest.clone(),
            bytes,
            org: org.map(str::to_owned),
            caller: Caller::of(token.as_deref()),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LineResult {
    pub(super) line: u64,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

/// What became of a line. No profile values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "status",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub(super) enum Outcome {
    Created {
        user_id: String,
        version: String,
    },
    /// The id was taken before, by an earlier run or by somebody else; the user may be removed since.
    Existed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<String>,
    },
    Failed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<String>,
        code: String,
        message: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<String>,
    },
    Blank,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) created: u64,
    pub(super) existed: u64,
    pub(super) failed: u64,
    pub(super) blank: u64,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Created { .. } => self.created += 1,
            Outcome::Existed { .. } => self.existed += 1,
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Blank => self.blank += 1,
        }
    }

    fn lines(&self) -> u64 {
        self.created + self.existed + self.failed + self.blank
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Tally {
            created,
            existed,
            failed,
            blank: _,
        } = self;
        write!(f, "{created} created, {existed} existed, {failed} failed")
    }
}

#[derive(Debug)]
pub(super) struct Results {
    /// Locked while it is open.
    file: File,
    tally: Tally,
}

impl Results {
    /// Opens what an earlier run left, without a last line that it did not finish, or begins.
    ///
    /// # Errors
    /// Usage, when it is of another import or in use.
    pub(super) fn open(path: &Path, identity: &Identity) -> Result<Results, Failure> {
        let at = |text: String| Failure::usage(format!("{}: {text}", path.display()));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(|error| at(error.to_string()))?;
        if file.try_lock().is_err() {
            return Err(at("another import writes its results there".to_owned()));
        }
        let mut results = Results {
            file,
            tally: Tally::default(),
        };
        match results.read(identity).map_err(at)? {
            0 => results.write(identity)?,
            whole => {
                results.file.set_len(whole)?;
                results.file.seek(SeekFrom::End(0))?;
            }
        }
        Ok(results)
    }

    /// Lines of the input that have a result.
    pub(super) fn lines(&self) -> u64 {
        self.tally.lines()
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    pub(super) fn append(&mut self, result: &LineResult) -> Result<(), Failure> {
        self.write(result)?;
        self.tally.count(&result.outcome);
        if self.lines().is_multiple_of(LINES_PER_SYNC_MAX) {
            self.sync()?;
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), Failure> {
        Ok(self.file.sync_data()?)
    }

    /// Reads what is there; returns the bytes of its whole lines.
    fn read(&mut self, identity: &Identity) -> Result<u64, String> {
        let mut reader = BufReader::new(&self.file);
        let mut whole = 0;
        let mut text = String::new();
        loop {
            text.clear();
            let bytes = reader
                .read_line(&mut text)
                .map_err(|error| error.to_string())? as u64;
            if !text.ends_with('\n') {
                return Ok(whole);
            }
            if whole == 0 {
                same(&text, identity)?;
            } else {
                let result: LineResult =
                    serde_json::from_str(&text).map_err(|_| "not a file of results".to_owned())?;
                self.tally.count(&result.outcome);
                if result.line != self.tally.lines() {
                    return Err(format!("line {} is out of order", result.line));
                }
            }
            whole += bytes;
        }
    }

    /// One line in one write, so that a kill leaves at most one unfinished.
    fn write(&mut self, line: &impl Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_vec(line)
            .map_err(|error| Failure::other(format!("cannot write a result: {error}")))?;
        text.push(b'\n');
        Ok(self.file.write_all(&text)?)
    }
}

fn same(text: &str, identity: &Identity) -> Result<(), String> {
    let found: Identity =
        serde_json::from_str(text).map_err(|_| "not a file of results of import".to_owned())?;
    if found == *identity {
        return Ok(());
    }
    let what = match () {
        () if found.profilectl_import != FORMAT => "of another format",
        () if found.org != identity.org || found.caller != identity.caller => {
            "of an import into another organization or by another caller"
        }
        () => "of another input",
    };
    Err(format!(
        "these results are {what}: name another file with --results"
    ))
}
