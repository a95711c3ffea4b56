//! What each of the two nodes runs on: the same log and view, or a log of its own making with a view that is
//! behind.

use std::sync::Arc;

use profile::clock::Clock;
use profile::commit_log::CommitLog;
use profile::current_view::CurrentView;
use profile::current_view::memory::MemoryView;
use profile::entity::EntityPorts;
use profile_messages::event::EventPayload;

use crate::clock::SimClock;
use crate::dice::Dice;
use crate::faulty_log::FaultyLog;
use crate::memory::Memory;
use crate::node_log::NodeLog;
use crate::planted::Plant;

pub(crate) const NODES: usize = 2;
/// In each step.
const FOLLOWS_PERCENT: u32 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Log and view.
    Everything,
    /// The log alone.
    Log,
}

pub(crate) struct Nodes {
    ports: Vec<EntityPorts>,
    /// None where everything is shared.
    logs: Vec<Arc<NodeLog>>,
}

impl Nodes {
    /// As they are right after a start, with nothing seen.
    pub(crate) fn begin(
        sharing: Sharing,
        log: &Arc<FaultyLog>,
        memory: &Memory,
        clock: &Arc<SimClock>,
        plant: Plant,
    ) -> Nodes {
        let ports = |log: Arc<dyn CommitLog>, view: Arc<dyn CurrentView>| EntityPorts {
            log,
            view,
            clock: Arc::clone(clock) as Arc<dyn Clock>,
            store_id: "simulated".into(),
            epoch: 1,
            payload: EventPayload::Changed,
        };
        match sharing {
            Sharing::Everything => Nodes {
                ports: vec![ports(Arc::clone(log) as _, memory.view() as _); NODES],
                logs: Vec::new(),
            },
            Sharing::Log => {
                let logs = (0..NODES).map(|_| Arc::new(NodeLog::new(log, plant)));
                let logs: Vec<_> = logs.collect();
                let own = logs.iter();
                let own = own.map(|log| ports(Arc::clone(log) as _, Arc::clone(log.view()) as _));
                Nodes {
                    ports: own.collect(),
                    logs,
                }
            }
        }
    }

    pub(crate) fn ports(&self, node: usize) -> &EntityPorts {
        &self.ports[node]
    }

    /// Each hears of some of what the others committed, or of nothing.
    pub(crate) async fn follow(&self, dice: &mut Dice) {
        for log in &self.logs {
            if dice.percent(FOLLOWS_PERCENT) {
                log.follow(dice.below(8) as usize).await;
            }
        }
    }

    pub(crate) async fn follow_to_the_end(&self) {
        for log in &self.logs {
            log.follow_to_the_end().await;
        }
    }

    /// Those that are not shared.
    pub(crate) fn views(&self) -> impl Iterator<Item = &MemoryView> {
        self.logs.iter().map(|log| log.view().as_ref())
    }
}
