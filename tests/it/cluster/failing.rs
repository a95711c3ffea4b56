//! Nodes that are killed under load.

use profile_tests::promises::world::World;

use super::nodes::CLUSTER;

const ROUNDS: u64 = 6;
const KILLED_WITHIN_MS: u32 = 400;

#[test]
fn nothing_acknowledged_is_lost_when_nodes_are_killed_under_load() {
    let seed = profile_tests::promises::world::seed();
    eprintln!("SEED={seed}");
    let mut world = World::prepared(seed, CLUSTER);
    world.service.start_again();
    let mut others = [world.node(CLUSTER), world.node(CLUSTER)];
    others.iter_mut().for_each(|node| node.start_again());
    let mut open = 0;
    for round in 0..ROUNDS {
        let clients = world.load(&format!("r{round}"));
        world.let_pass(KILLED_WITHIN_MS);
        // One node after the other, the first one too.
        let killed = match round % 3 {
            0 => &mut world.service,
            1 => &mut others[0],
            _ => &mut others[1],
        };
        killed.kill();
        world.tell(|signal| signal.killed = true);
        let heard = world.join(clients);
        open += heard.open.len();
        // The two that are left know everything.
        world
            .recover(&heard)
            .unwrap_or_else(|broken| panic!("round {round} of SEED={seed}: {broken}"));
        match round % 3 {
            0 => world.service.start_again(),
            1 => others[0].start_again(),
            _ => others[1].start_again(),
        }
    }
    let changes = world
        .check_all()
        .unwrap_or_else(|broken| panic!("SEED={seed}: {broken}"));
    eprintln!("{changes} changes, {open} commands were open at a kill");
    assert_eq!(changes, world.heard.acked.len());
}
