//! What an export has so far: the lines in `<FILE>.part`, and in `<FILE>.progress` whose they are and a line
//! for each page.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use profile_messages::reply::ListReply;
use serde::{Deserialize, Serialize};

use super::write_users;
use crate::args::Global;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::request;

const FORMAT: u32 = 1;

/// On whose behalf: a cursor is bound to it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    profilectl_export: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<String>,
    #[serde(flatten)]
    caller: Caller,
}

/// After a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reached {
    pub(super) users: u64,
    /// Of `<FILE>.part`, whose lines are durable up to there.
    bytes: u64,
    /// Of the next page; without one that was the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<String>,
    /// Where the first page was true in the log, and where this one was.
    pub(super) first_position: u64,
    position: u64,
}

impl Reached {
    /// Whether nothing at all happened between the first page and the last.
    pub(super) fn is_true_throughout(&self) -> bool {
        self.first_position == self.position
    }
}

#[derive(Debug)]
pub(super) struct Part {
    file: PathBuf,
    lines: File,
    /// Locked while it is open.
    progress: File,
    reached: Option<Reached>,
}

impl Part {
    /// Goes on with what an earlier run left, or begins.
    ///
    /// # Errors
    /// Usage, when the file is there, or what was left is somebody else's or in use.
    pub(super) fn open(file: &Path, global: &Global) -> Result<Part, Failure> {
        let at = |text: &str| Failure::usage(format!("{}: {text}", file.display()));
        if file.exists() {
            return Err(at("is there already and stays as it is: name another file"));
        }
        let identity = Identity {
            profilectl_export: FORMAT,
            org: global.org.clone(),
            caller: Caller::of(request::bearer(global)?.as_deref()),
        };
        let progress = private(&beside(file, "progress"))?;
        if progress.try_lock().is_err() {
            return Err(at("another export writes it"));
        }
        let mut part = Part {
            file: file.to_owned(),
            lines: private(&beside(file, "part"))?,
            progress,
            reached: None,
        };
        match part.read(&identity).map_err(|text| at(&text))? {
            0 => write_line(&mut part.progress, &identity)?,
            whole => {
                part.progress.set_len(whole)?;
                part.progress.seek(SeekFrom::End(0))?;
            }
        }
        // A page whose progress was not written is asked for again.
        let bytes = part.reached.as_ref().map_or(0, |reached| reached.bytes);
        if part.lines.metadata()?.len() < bytes {
            return Err(at(
                "lines of an earlier run are gone: remove what it left beside it",
            ));
        }
        part.lines.set_len(bytes)?;
        part.lines.seek(SeekFrom::End(0))?;
        Ok(part)
    }

    pub(super) fn reached(&self) -> Option<&Reached> {
        self.reached.as_ref()
    }

    /// The lines become durable, then where they end.
    pub(super) fn append(&mut self, page: &ListReply) -> Result<&Reached, Failure> {
        write_users(&self.lines, &page.users)?;
        self.lines.sync_data()?;
        let before = self.reached.as_ref();
        let reached = Reached {
            users: before.map_or(0, |before| before.users) + page.users.len() as u64,
            bytes: self.lines.stream_position()?,
            cursor: page.next_cursor.clone(),
            first_position: before.map_or(page.position, |before| before.first_position),
            position: page.position,
        };
        write_line(&mut self.progress, &reached)?;
        Ok(self.reached.insert(reached))
    }

    pub(super) fn lines(&self) -> Result<BufReader<File>, Failure> {
        Ok(BufReader::new(File::open(beside(&self.file, "part"))?))
    }

    /// What is to be the end result, begun anew.
    pub(super) fn settled(&self) -> Result<File, Failure> {
        let file = private(&beside(&self.file, "settled"))?;
        file.set_len(0)?;
        Ok(file)
    }

    /// The settled lines are the export.
    pub(super) fn end_settled(self, settled: &File) -> Result<(), Failure> {
        settled.sync_all()?;
        fs::rename(beside(&self.file, "settled"), &self.file)?;
        fs::remove_file(beside(&self.file, "part"))?;
        Ok(fs::remove_file(beside(&self.file, "progress"))?)
    }

    /// The listed lines are the export.
    pub(super) fn end(self) -> Result<(), Failure> {
        fs::rename(beside(&self.file, "part"), &self.file)?;
        // Of an earlier run that was killed while it settled.
        let settled = beside(&self.file, "settled");
        if settled.exists() {
            fs::remove_file(settled)?;
        }
        Ok(fs::remove_file(beside(&self.file, "progress"))?)
    }

    /// Reads what is there; returns the bytes of its whole lines.
    fn read(&mut self, identity: &Identity) -> Result<u64, String> {
        let mut reader = BufReader::new(&self.progress);
        let (mut whole, mut text) = (0, String::new());
        let foreign = "what an earlier run left beside it is no progress of an export: remove it";
        loop {
            text.clear();
            let bytes = reader
                .read_line(&mut text)
                .map_err(|error| error.to_string())?;
            if !text.ends_with('\n') {
                return Ok(whole);
            }
            if whole == 0 {
                let found: Identity = serde_json::from_str(&text).map_err(|_| foreign)?;
                if found != *identity {
                    return Err(
                        "an export of another organization, by another caller or by another \
                                release was begun there: name another file"
                            .to_owned(),
                    );
                }
            } else {
                self.reached = Some(serde_json::from_str(&text).map_err(|_| foreign)?);
            }
            whole += bytes as u64;
        }
    }
}

fn beside(file: &Path, what: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".");
    path.push(what);
    path.into()
}

/// Personal data: for nobody else to read.
fn private(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    let options = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options
        .open(path)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn write_line(file: &mut File, line: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_vec(line).map_err(|error| Failure::Output(error.into()))?;
    text.push(b'\n');
    file.write_all(&text)?;
    Ok(file.sync_data()?)
}
