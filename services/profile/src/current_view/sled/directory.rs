//! The directory of the view beside sled's own files: whose it is and how it was left, in one small
//! file `STATE`, outside sled because sled cannot be believed after a power loss.
//!
//! ```text
//! format 1
//! store <id>
//! left running <boot id> | left clean | left suspect
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Format of keys and values in sled. An older or newer one is rebuilt, never converted.
const FORMAT: u32 = 1;
const STATE: &str = "STATE";

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
    /// By a process that runs, or was killed.
    Running,
    /// By a clean stop: everything is fsynced.
    Clean,
    /// By a process that could not read it.
    Suspect,
}

/// What is in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// It should hold data that can be trusted.
    Usable,
    /// It has to be set aside, and why.
    Unusable(&'static str),
}

/// Looks at the directory before sled does.
pub(super) fn examine(dir: &Path, identity: &Identity) -> io::Result<Found> {
    let is_empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error),
    };
    if is_empty {
        return Ok(Found::Nothing);
    }
    let state = match fs::read(dir.join(STATE)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    Ok(judge(&state, identity))
}

fn judge(state: &str, identity: &Identity) -> Found {
    let mut lines = state.lines();
    let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let (format, store, left) = (value("format"), value("store"), value("left"));
    let Some(format) = format.and_then(|text| text.parse::<u32>().ok()) else {
        return Found::Unusable("no readable STATE file");
    };
    if format != FORMAT {
        return Found::Unusable("another format");
    }
    if store != Some(identity.store_id.as_str()) {
        return Found::Unusable("another store's");
    }
    match left.map(|left| left.split_once(' ').unwrap_or((left, ""))) {
        Some(("clean", "")) => Found::Usable,
        Some(("running", boot)) if Some(boot) == identity.boot_id.as_deref() => Found::Usable,
        Some(("running", _)) => Found::Unusable("the machine restarted without a clean stop"),
        Some(("suspect", _)) => Found::Unusable("it could not be read before"),
        Some(_) | None => Found::Unusable("no readable STATE file"),
    }
}

/// Notes durably how the directory is left. Before sled writes anything: [`Left::Running`].
pub(super) fn leave(dir: &Path, identity: &Identity, left: Left) -> io::Result<()> {
    let left = match left {
        Left::Running => format!(
            "running {}",
            identity.boot_id.as_deref().unwrap_or("unknown")
        ),
        Left::Clean => "clean".to_owned(),
        Left::Suspect => "suspect".to_owned(),
    };
    let text = format!(
        "format {FORMAT}\nstore {}\nleft {left}\n",
        identity.store_id
    );
    // sled's files have the mode of the umask, and hold personal data: nobody else gets at them.
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let new = dir.join("STATE.new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, dir.join(STATE))?;
    File::open(dir)?.sync_all()
}

/// fsyncs sled's files through descriptors of our own: fsync works on the file, not the descriptor,
/// and sled 0.34's `flush` only starts writing back.
pub(super) fn sync_files(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(dir)?.sync_all()
}

/// Whether the disk takes some more: sled never recovers from a failed write, so it is not tried on it.
pub(super) fn probe_space(dir: &Path) -> io::Result<()> {
    const PROBE_BYTES: usize = 4 * 1024 * 1024;
    let path = dir.join("SPACE");
    let probed = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_all()
    });
    fs::remove_file(&path)?;
    probed
}

/// Renames the directory to `<name>.aside-<n>` for a later look, and deletes the one kept before.
pub(super) fn set_aside(dir: &Path) -> io::Result<PathBuf> {
    let named = dir.parent().filter(|path| !path.as_os_str().is_empty());
    let parent = named.unwrap_or(Path::new("."));
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{name}.aside-");
    let mut number_max = 0u64;
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let number = file_name
            .to_str()
            .and_then(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok());
        if let Some(number) = number {
            number_max = number_max.max(number);
            fs::remove_dir_all(entry.path())?;
        }
    }
    let aside = parent.join(format!("{prefix}{}", number_max.saturating_add(1)));
    fs::rename(dir, &aside)?;
    File::open(parent)?.sync_all()?;
    Ok(aside)
}
