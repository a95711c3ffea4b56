//! SIGTERM under load: every request is answered, refused, or provably never read.

use std::time::Duration;

use profile_tests::promises::world::{World, seed};
use tokio::time::timeout;

const RESTARTS: u64 = 20;
const ANSWERS_BETWEEN_RESTARTS: u64 = 150;
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);

#[test]
fn no_request_is_lost_when_the_process_is_stopped() {
    let seed = seed();
    eprintln!("SEED={seed}");
    let mut world = World::new(seed);
    let clients = world.load("t");
    for restart in 1..=RESTARTS {
        // Every second time as soon as it is ready, the others under full load.
        if restart % 2 == 0 {
            answered(&world);
        }
        assert!(world.service.stop().success(), "{}", world.service.log());
        world.service.start_again();
        world.tell(|signal| signal.starts += 1);
    }
    answered(&world);
    world.tell(|signal| signal.stop = true);
    let heard = world.join(clients);
    assert!(world.service.stop().success());

    let reports = reports(&world.service.log());
    assert_eq!(reports.len() as u64, RESTARTS + 1);
    for report in &reports {
        assert_eq!(report.count("unanswered"), 0, "{report:?}");
        assert_eq!(report.count("dropped"), 0, "{report:?}");
        assert!(report.0.contains("flushed: true"), "{report:?}");
    }
    let sum = |name| reports.iter().map(|report| report.count(name)).sum::<u64>();
    let answers = heard.acked.len() as u64 + heard.refused_by_answer;
    assert_eq!(
        sum("answered") + sum("refused"),
        answers,
        "every answer arrived"
    );
    let (open, unread) = (heard.open.len() as u64, sum("unread_unknown"));
    assert!(
        open <= unread,
        "{open} without an answer, {unread} not read"
    );

    world.service.start_again();
    let before = world.observe(heard.open.iter());
    let unread_is_undone = heard.open.iter().all(|command| {
        let mut history = before[&command.user].history.iter();
        history.all(|change| change.key != command.key)
    });
    assert!(unread_is_undone, "a request without an answer was done");
    world.settle(&heard.open).expect("each is done now");
    let changes = world
        .check_all()
        .unwrap_or_else(|broken| panic!("SEED={seed}: {broken}"));
    assert_eq!(changes, world.heard.acked.len());
    let refused = heard.refused.len();
    eprintln!("{RESTARTS} restarts: {changes} changes, {refused} refused, {open} never read");
}

/// Waits for the next answers.
fn answered(world: &World) {
    let mut answered = world.answers.subscribe();
    let enough_answers = answered.borrow().acked + ANSWERS_BETWEEN_RESTARTS;
    let enough = answered.wait_for(|now| now.acked >= enough_answers);
    let in_time = world
        .runtime
        .block_on(async { timeout(ANSWERS_WITHIN, enough).await.is_ok() });
    assert!(in_time, "no answers:\n{}", world.service.log());
}

/// One `DrainReport` as it is logged.
#[derive(Debug)]
struct Report(String);

fn reports(log: &str) -> Vec<Report> {
    let drained = log
        .lines()
        .filter(|line| line.contains("\"message\":\"drained\""));
    drained.map(|line| Report(line.to_owned())).collect()
}

impl Report {
    fn count(&self, name: &str) -> u64 {
        let behind = self.0.split_once(&format!(" {name}: ")).expect("a count").1;
        let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a number")
    }
}
