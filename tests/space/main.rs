//! How much the data directory takes for what is in it: log and view in one process, with compactions
//! going on beside the updates.
//!
//! `make space` does ten million updates of a million users; `UPDATES=N` and `USERS=N` set them. Without,
//! a small version that any build passes.

mod world;

use world::{Size, World};

/// Bytes of the data directory for each byte that is kept.
const RATIO_MAX: f64 = 2.0;
const HISTORY_DEFAULT: u64 = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_directory_is_at_most_twice_what_is_kept() {
    measure(HISTORY_DEFAULT, 3_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_directory_is_at_most_twice_what_is_kept_without_history() {
    // sled takes some 14 MiB for a few users as for twice as many: with fewer, that is what is measured.
    measure(1, 6_000).await;
}

async fn measure(history_changes_kept: u64, users_default: u64) {
    let mut world = World::open(Size::from_env(users_default), history_changes_kept).await;
    world.run().await;
    let space = world.space().await;
    eprintln!("history_changes_kept = {history_changes_kept}: {space}");
    assert!(space.record_bytes_mean >= 600.0 && space.record_bytes_mean <= 700.0);
    assert!(space.ratio() <= RATIO_MAX, "{space}");
}
