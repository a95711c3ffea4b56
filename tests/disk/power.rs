//! Power cuts of the real process: what no fsync covered is lost, or half lost.

use profile_tests::promises::world::{World, number, seed};

use crate::life::{End, Life};
use crate::shim::Power;

const CUTS_DEFAULT: u64 = 10;
/// The first cut of each is in its first start.
const CUTS_PER_WORLD: u64 = 10;

#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    let (cuts, seed) = (number("CUTS").unwrap_or(CUTS_DEFAULT), seed());
    eprintln!("{cuts} power cuts, SEED={seed}");
    for first in (0..cuts).step_by(CUTS_PER_WORLD as usize) {
        let mut world = World::prepared(seed.wrapping_add(first), "");
        for cut in first..cuts.min(first + CUTS_PER_WORLD) {
            cut_once(&mut world, cut)
                .unwrap_or_else(|broken| panic!("cut {cut} of SEED={seed}: {broken}"));
        }
        world.service.start_again();
        let changes = world.check_all();
        changes.unwrap_or_else(|broken| panic!("cuts from {first} of SEED={seed}: {broken}"));
    }
}

/// One life that ends with a power cut, and what comes after it.
fn cut_once(world: &mut World, cut: u64) -> Result<(), String> {
    let (rule, end) = match cut % 5 {
        // While it starts, the first time on an empty disk.
        0 => (format!("cut:*:*:{}", 1 + world.below(90)), End::ByRule),
        // While it stops, and after that.
        1 => (format!("cut:*:*:@{}", 1 + world.below(20)), End::Stopped),
        2 => ("cut:exit:*:1".to_owned(), End::Stopped),
        _ => (format!("cut:*:*:{}", 90 + world.below(500)), End::ByRule),
    };
    let life = Life {
        rules: format!("{rule} cut:exit:*:1"),
        seed: world.below(u64::MAX),
        power: Power::MayFail,
        end,
    };
    let ended = life.live(world)?;
    eprintln!("cut {cut}: {}", ended.fault().unwrap_or_default());
    // Also the view of a process that came after a cut is cut.
    match world.below(2) {
        0 => assert!(world.service.stop().success(), "{}", world.service.log()),
        _ => world.service.kill(),
    }
    Ok(())
}

/// A disk whose fsync does nothing loses data at a power cut: checks that do not see that are none.
#[test]
fn a_disk_that_lies_about_fsync_is_caught() {
    for lies in ["lie:sync:data/log/*.seg:/1", "lie:syncdir:data/log:/1"] {
        // The log itself sees some of it, as damage: here it must be the clients who do.
        let told_by_clients = |broken: &String| broken.contains("again:") || broken.contains("I1");
        let seen = (0..20).find_map(|seed| lose(seed, lies).err().filter(told_by_clients));
        eprintln!("{lies}: {}", seen.expect("the loss is seen"));
    }
}

/// A power cut on a disk with these lies, after which nothing but the log can tell what there was: the
/// service itself would see that the stream or its cursor knows more.
fn lose(seed: u64, lies: &str) -> Result<(), String> {
    let mut world = World::prepared(seed, "");
    world.service.start_again();
    world.service.kill();
    let life = Life {
        rules: format!("cut:*:*:{} {lies}", 120 + seed * 10),
        seed,
        power: Power::MayFail,
        end: End::ByRule,
    };
    let ended = life.live_only(&mut world);
    world.wipe_stream();
    let _ = std::fs::remove_file(world.service.data_dir().join("relay"));
    world.service.try_start_again()?;
    world.recover(&ended.heard).map(|_| ())
}
