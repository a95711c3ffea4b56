//! `profiled backup` and `profiled restore`: what they run on, and what they print. Ids, positions and
//! counts only.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use profile_messages::UserId;

use super::options;
use crate::backup::{self, Manifest, Missing, Restore, Restored, Surroundings, Tail};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::data_dir::store_id_of;
use crate::file_system::RealFiles;
use crate::relay::stream::jetstream::JetStreamEvents;
use crate::transport::nats::connect_as;

/// A busy service covers a group with its next one, an idle one within 50 ms.
const COVER_WAIT_MAX: Duration = Duration::from_secs(10);

/// Backs `data` up to `to` and prints what was written.
///
/// # Errors
/// [`backup::BackupError`], with advice.
pub fn backup(data: &Path, to: &Path) -> anyhow::Result<()> {
    let around = around();
    let begun = around.clock.monotonic();
    let manifest = backup::backup(&around, data, to)?;
    let taken = around.clock.monotonic() - begun;
    let mut out = io::stdout().lock();
    print_manifest(&mut out, "backup", &manifest)?;
    let (to, seconds) = (to.display(), taken.as_secs_f64());
    writeln!(
        out,
        "written to {to}, read back and right, in {seconds:.2} s"
    )?;
    Ok(())
}

/// Restores a backup, with the event stream of the bus in `config` if there is one, and prints which
/// users may be older than their version says.
///
/// # Errors
/// [`backup::BackupError`], with advice; or why the bus was not reached.
pub fn restore(wanted: &Restore, config: Option<&Config>) -> anyhow::Result<()> {
    let around = around();
    // Its own thread keeps the connection alive while this one copies.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let begun = around.clock.monotonic();
    let restored = runtime.block_on(async {
        let stream = match config {
            Some(config) => Some(event_stream(config, &wanted.from).await?),
            None => None,
        };
        let tail = stream.as_ref().map(|stream| stream as &dyn Tail);
        let restored = backup::restore(&around, wanted, tail).await;
        restored.map_err(anyhow::Error::from)
    })?;
    let taken = around.clock.monotonic() - begun;
    let mut out = io::stdout().lock();
    print_restored(&mut out, &restored, config.is_some())?;
    let (data, seconds) = (wanted.data.display(), taken.as_secs_f64());
    writeln!(out, "restored to {data} in {seconds:.2} s")?;
    Ok(())
}

fn around() -> Surroundings {
    Surroundings {
        files: Arc::new(RealFiles),
        clock: Arc::new(SystemClock::default()),
        cover_wait_max: COVER_WAIT_MAX,
    }
}

/// The event stream with the service's own credentials; only ever read.
async fn event_stream(config: &Config, from: &Path) -> anyhow::Result<JetStreamEvents> {
    let store_id = store_id_of(&RealFiles, from)?
        .with_context(|| format!("{} is no backup: it has no file STORE", from.display()))?;
    let nats = options::nats(config, &store_id)?;
    let client = connect_as(&nats, &nats.egress, "restore").await?;
    let stream = options::stream(config);
    // Whichever epoch wrote it: what is restored will be of a later one.
    Ok(JetStreamEvents::new(client, stream, &store_id, u32::MAX))
}

fn print_manifest(out: &mut impl Write, what: &str, manifest: &Manifest) -> io::Result<()> {
    let Manifest {
        store,
        epoch,
        first,
        end,
        records,
        bytes,
        begun_at,
        format: _,
    } = manifest;
    writeln!(
        out,
        "{what} of store {store}, epoch {epoch}, begun at {begun_at}: positions {first} to {end}, \
         {records} records, {bytes} bytes"
    )
}

fn print_restored(out: &mut impl Write, restored: &Restored, streamed: bool) -> io::Result<()> {
    print_manifest(out, "from the backup", &restored.manifest)?;
    let (end, events) = (restored.end, restored.events);
    match streamed {
        true => writeln!(out, "from the event stream: {events} events")?,
        false => writeln!(
            out,
            "without the event stream: what came after the backup is lost"
        )?,
    }
    writeln!(
        out,
        "epoch {} begins after position {end}, {} users may be older",
        restored.epoch,
        restored.older.len()
    )?;
    for (user, missing) in &restored.older {
        print_user(out, user, *missing)?;
    }
    Ok(())
}

/// `user <id> contact,profile,keys`: what of it may be older.
fn print_user(out: &mut impl Write, user: &UserId, missing: Missing) -> io::Result<()> {
    let Missing {
        contact,
        profile,
        keys,
    } = missing;
    let named = [(contact, "contact"), (profile, "profile"), (keys, "keys")];
    let names: Vec<_> = named.iter().filter(|(is_missing, _)| *is_missing).collect();
    let names: Vec<_> = names.into_iter().map(|(_, name)| *name).collect();
    writeln!(out, "user {user} {}", names.join(","))
}
