//! How much the data directory takes for what is in it: log and view in one process, with compactions
//! going on beside the updates.
//!
//! `make space` does ten million updates of a million users; `UPDATES=N` and `USERS=N` set them. Without,
//! a small version that any build passes.

mod world;

use world::{Size, World};

/// Bytes of the data directory for each byte that is kept.
const RATIO_MAX: f64 = 2.0;
/// What sled takes however few users there are, and more or less of it as its own threads come to write. Users
/// of a long run outweigh it; of a small one they do not, and the ratio would be sled's and not ours.
const SLED_BYTES: u64 = 20 * 1024 * 1024;
/// A small run leaves some of the last segments, which no pass has seen, beside what is kept.
const LOG_RATIO_MAX: f64 = 1.4;
const HISTORY_DEFAULT: u64 = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_directory_is_at_most_twice_what_is_kept() {
    measure(HISTORY_DEFAULT, 3_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_directory_is_at_most_twice_what_is_kept_without_history() {
    measure(1, 6_000).await;
}

async fn measure(history_changes_kept: u64, users_default: u64) {
    let size = Size::from_env(users_default);
    let mut world = World::open(size, history_changes_kept).await;
    world.run().await;
    let space = world.space().await;
    eprintln!("history_changes_kept = {history_changes_kept}: {space}");
    assert!(space.record_bytes_mean >= 600.0 && space.record_bytes_mean <= 700.0);
    if size.is_long() {
        assert!(space.ratio() <= RATIO_MAX, "{space}");
    } else {
        assert!(space.log_ratio() <= LOG_RATIO_MAX, "{space}");
        assert!(space.ratio_above(SLED_BYTES) <= RATIO_MAX, "{space}");
    }
}
