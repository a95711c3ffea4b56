//! Damaged files under the view: sectors of another time, bits, truncation, missing and swapped files.
//! It may be lost and rebuilt, never be believed when wrong. `SEED=<n>` replays one case, `ROT=<n>` runs
//! so many.

use std::os::unix::fs::FileExt;

use super::*;
use crate::file_system::simulated::Seeded;

const CASES_DEFAULT: u64 = 20;
const SECTOR_BYTES: u64 = 512;
const USERS: usize = 500;

/// Directories of one store at different times, none of them in use.
struct Times {
    older: Place,
    killed: Place,
    clean: Place,
    history: History,
}

/// Several of sled's segments (512 KiB), some of them used again; the last commits are in the log only.
fn times() -> Times {
    let place = Place::new();
    let mut history = History::default();
    let view = place.open();
    let mut older = None;
    for round in 0..12 {
        for number in 0..USERS {
            let user = format!("u{}", number * 7 % USERS);
            let is_removal = round > 0 && (number + round) % 13 == 0;
            let name = format!("{} {round}", "Name".repeat(number % 9));
            let name = Some(name.as_str()).filter(|_| !is_removal);
            view.committed(&[history.next(&format!("o{}", number % 3), &user, name)]);
        }
        view.write_behind().unwrap();
        if round == 7 {
            older = Some(Place::copy_of(&place));
        }
    }
    let killed = Place::copy_of(&place);
    view.close().unwrap();
    drop(view);
    for number in 0..20 {
        history.next("o1", &format!("late{number}"), Some("Late"));
    }
    Times {
        older: older.unwrap(),
        killed,
        clean: place,
        history,
    }
}

fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seeds() -> std::ops::Range<u64> {
    let cases = number_from_env("ROT").unwrap_or(CASES_DEFAULT);
    number_from_env("SEED").map_or(0..cases, |seed| seed..seed + 1)
}

fn one<'a>(random: &mut Seeded, files: &'a [PathBuf]) -> &'a Path {
    // Twice as often the largest, which is the log of sled.
    let largest = files.iter().max_by_key(|f| fs::metadata(f).unwrap().len());
    match random.percent(60) {
        true => largest.unwrap(),
        false => &files[random.below(files.len() as u64) as usize],
    }
}

fn sectors_of(file: &Path) -> u64 {
    fs::metadata(file).unwrap().len().div_ceil(SECTOR_BYTES)
}

/// Puts sectors of `from` into `file`, each with a chance in percent.
fn revert_sectors(random: &mut Seeded, file: &Path, from: &[u8], percent: u64) {
    let to = fs::OpenOptions::new().write(true).open(file).unwrap();
    for (sector, old) in from.chunks(SECTOR_BYTES as usize).enumerate() {
        if random.percent(percent) {
            to.write_all_at(old, sector as u64 * SECTOR_BYTES).unwrap();
        }
    }
}

/// One damage; says which.
fn damage(random: &mut Seeded, place: &Place, older: &Place) -> String {
    let files = place.files();
    let file = one(random, &files).to_owned();
    let name = file.strip_prefix(&place.root).unwrap().to_owned();
    let theirs = fs::read(older.root.join(&name)).unwrap_or_default();
    let mut bytes = fs::read(&file).unwrap();
    let what = match random.below(9) {
        0..=2 => {
            let percent = random.one_of([1, 10, 50, 90, 100]);
            revert_sectors(random, &file, &theirs, percent);
            format!("{percent} % of the sectors of another time")
        }
        3 => {
            let bytes = random.below(bytes.len() as u64);
            let open = fs::OpenOptions::new().write(true).open(&file).unwrap();
            open.set_len(bytes).unwrap();
            format!("cut to {bytes} bytes")
        }
        4 => {
            fs::remove_file(&file).unwrap();
            "missing".to_owned()
        }
        5 => {
            let other = one(random, &files);
            fs::write(&file, fs::read(other).unwrap()).unwrap();
            fs::write(other, &bytes).unwrap();
            format!("swapped with {}", other.display())
        }
        6 => {
            fs::write(&file, theirs).unwrap();
            "of another time".to_owned()
        }
        7 => {
            let at = random.below(bytes.len() as u64);
            bytes[at as usize] ^= 1 << random.below(8);
            fs::write(&file, bytes).unwrap();
            format!("byte {at} has a flipped bit")
        }
        _ => {
            let at = random.below(sectors_of(&file)) * SECTOR_BYTES;
            let end = bytes.len().min((at + SECTOR_BYTES) as usize);
            bytes[at as usize..end].fill(0);
            fs::write(&file, bytes).unwrap();
            format!("zeros from byte {at}")
        }
    };
    format!("{}: {what}", name.display())
}

/// Opens what is left and reads all of it: every answer is right, or an error; then, after another
/// start if the view failed, everything is. Tells whether the first start set it aside.
async fn check(place: &Place, boot: &str, history: &History) -> Result<bool, String> {
    let mut history = history.clone();
    let log = FakeLog::of(&history);
    let view = place.open_as("store", boot);
    let set_aside = view.position() == Position::NONE;
    view.catch_up(&log)
        .await
        .map_err(|error| error.to_string())?;
    right_or_refused(&view, &history)?;
    // Goes on writing to what was found: free space that is none would show now.
    for number in 0..USERS {
        view.committed(&[history.next("o1", &format!("u{number}"), Some("After"))]);
    }
    let _ = view.write_behind();
    let _ = view.renew();
    right_or_refused(&view, &history)?;
    let is_failed = view.failed().borrow().is_some();
    let is_closed = view.close().is_ok();
    drop(view);
    if is_failed && is_closed {
        return Err("a failed view was closed cleanly".to_owned());
    }
    let view = place.open_as("store", boot);
    let log = FakeLog::of(&history);
    view.catch_up(&log)
        .await
        .map_err(|error| error.to_string())?;
    history.check(&view);
    Ok(set_aside)
}

fn right_or_refused(view: &SledView, history: &History) -> Result<(), String> {
    for (user, entry) in &history.model {
        match view.user(user) {
            Ok(found) if found.as_deref() == Some(entry) => {}
            Ok(None) => return Err(format!("{user} is not found")),
            Ok(Some(_)) => return Err(format!("{user} is another")),
            Err(_) if view.failed().borrow().is_some() => return Ok(()),
            Err(error) => return Err(format!("{user}: {error}")),
        }
    }
    for org in ["o0", "o1", "o2"] {
        match view.list(&all(org)) {
            Ok(page) if is_first_page(&names(&page), &history.listed(org, "")) => {}
            Ok(_) => return Err(format!("the list of {org} is wrong")),
            Err(_) if view.failed().borrow().is_some() => return Ok(()),
            Err(error) => return Err(format!("the list of {org}: {error}")),
        }
    }
    Ok(())
}

fn is_first_page(page: &[String], list: &[String]) -> bool {
    page == &list[..list.len().min(all("o1").rows_max)]
}

#[tokio::test]
async fn damaged_files_are_never_believed() {
    let times = times();
    let (mut set_aside, mut cases) = (0, 0);
    for seed in seeds() {
        let mut random = Seeded::new(seed);
        let (from, boot) = random.one_of([(0, 0), (0, 1), (1, 0), (1, 1)]);
        let from = [&times.killed, &times.clean][from];
        let boot = ["boot", "next boot"][boot];
        let place = Place::copy_of(from);
        let damages: Vec<String> = (0..=random.below(2))
            .map(|_| damage(&mut random, &place, &times.older))
            .collect();
        eprintln!("SEED={seed}: {boot}, {damages:?}");
        let checked = check(&place, boot, &times.history).await;
        let wrong = |wrong| panic!("SEED={seed} ({damages:?}): {wrong}");
        set_aside += usize::from(checked.unwrap_or_else(wrong));
        cases += 1;
    }
    eprintln!("{cases} cases, {set_aside} set aside");
}

/// Whatever a power cut leaves of the files: they are not even looked at.
#[tokio::test]
async fn after_a_power_cut_the_view_is_always_rebuilt() {
    let times = times();
    for seed in 0..10 {
        let mut random = Seeded::new(seed);
        let place = Place::copy_of(&times.killed);
        for file in place.files() {
            if file.ends_with("STATE") {
                continue; // fsynced, and replaced as a whole
            }
            let name = file.strip_prefix(&place.root).unwrap();
            let theirs = fs::read(times.older.root.join(name)).unwrap_or_default();
            revert_sectors(&mut random, &file, &theirs, 50);
        }
        let view = place.open_as("store", "next boot");
        is_rebuilt(&place, &view, &times.history).await;
    }
}

/// Rot under a view that is open, with a cache that holds next to nothing of its pages.
#[tokio::test]
async fn rot_under_an_open_view_is_never_served() {
    const CASES: u64 = 2;
    const USERS: usize = 3_000;
    let options = SledOptions {
        sled_cache_bytes_max: 256, // sled's least
        ..options()
    };
    let clean = Place::new();
    let mut history = History::default();
    let view = clean.open();
    for name in ["First ", "Second "] {
        for number in 0..USERS {
            let name = format!("{}{number}", name.repeat(20));
            view.committed(&[history.next("o1", &format!("u{number:04}"), Some(&name))]);
        }
        view.write_behind().unwrap();
    }
    view.close().unwrap();
    let mut failed = 0;
    for seed in 0..CASES {
        let mut random = Seeded::new(seed);
        let place = Place::copy_of(&clean);
        let view = SledView::open(options, &place.dir(), identity("store", "boot")).unwrap();
        for _ in 0..10 {
            // sled forgets pages only after so many reads.
            for user in history.model.keys() {
                view.user(user).unwrap();
            }
        }
        let db = place.dir().join("1").join("db");
        let bytes = fs::read(&db).unwrap();
        let mut rotten = bytes.clone();
        rotten.rotate_left(512 * 1024);
        match seed % 2 {
            0 => revert_sectors(&mut random, &db, &rotten, 1),
            _ => revert_sectors(&mut random, &db, &vec![0; bytes.len()], 1),
        }
        let right = right_or_refused(&view, &history);
        right.unwrap_or_else(|wrong| panic!("SEED={seed}: {wrong}"));
        failed += usize::from(view.failed().borrow().is_some());
        drop(view);
        let view = place.open();
        view.catch_up(&FakeLog::of(&history)).await.unwrap();
        right_or_refused(&view, &history).unwrap();
        assert_eq!(*view.failed().borrow(), None);
    }
    assert!(failed > 0, "no page was read again");
}

/// A page that is lost with everything in it, and with the sums that it was counted in intact.
#[test]
fn a_missing_entry_is_found_at_the_start() {
    let place = Place::new();
    drop(killed(&place));
    for key in ["u/u7", "l/", "o/o1"] {
        let damaged = Place::copy_of(&place);
        let db = ::sled::open(damaged.dir().join("1")).unwrap();
        let (key, _) = db.scan_prefix(key).next().unwrap().unwrap();
        db.remove(key).unwrap();
        drop(db);
        let view = damaged.open();
        assert_eq!(view.position(), Position::NONE);
        assert_eq!(damaged.aside().len(), 1);
    }
}

/// sled that ends the process each time it is opened is not opened for ever.
#[test]
fn a_database_that_ends_the_process_twice_is_set_aside() {
    let place = Place::new();
    drop(killed(&place));
    let state = place.dir().join("STATE");
    let text = fs::read_to_string(&state).unwrap();
    fs::write(&state, text.replace("running boot", "opening 1 boot")).unwrap();
    assert_eq!(Place::copy_of(&place).open().position(), Position(2_000));
    fs::write(&state, text.replace("running boot", "opening 2 boot")).unwrap();
    assert_eq!(place.open().position(), Position::NONE);
    assert_eq!(place.aside().len(), 1);
}
