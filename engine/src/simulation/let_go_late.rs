//! A handler that lets go of a connection long after its end, with bytes unread: it hears of the end, and nothing is left.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic_mem::MemQueue;
use fourtuple_wire::Instant;

use super::handlers::{Client, Errand};
use super::{Plan, World};
use crate::ConnId;
use crate::error::ConnectionError;
use crate::handler::{Closed, Handler};
use crate::listener::Listen;
use crate::shard::{Connection, WorkerCalls};

/// When TIME_WAIT is over by far.
const LATE: Duration = Duration::from_secs(5);

/// How one connection ended, as it was told.
type Told = Arc<Mutex<Vec<Result<(), ConnectionError>>>>;

/// Closes its direction at once, reads nothing, and lets go late.
struct Forgetful {
    aborts: bool,
    held: Option<ConnId>,
    told: Told,
}

impl Handler<MemQueue> for Forgetful {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.held = Some(connection.id());
        connection.shutdown();
    }

    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}

    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.told.lock().unwrap().push(closed.outcome);
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, ()>) {
        let (Some(id), late) = (self.held, Instant::ZERO + LATE) else {
            return;
        };
        if worker.now() < late {
            worker.wake_at(late);
            return;
        }
        self.held = None;
        let aborts = self.aborts;
        let _ = worker.with(id, |connection, ()| {
            if aborts {
                connection.abort();
            } else {
                connection.close();
            }
        });
    }
}

#[test]
fn who_lets_go_of_what_ended_with_bytes_unread_hears_of_the_end() {
    for aborts in [true, false] {
        let (client, _) = Client::new(vec![Errand {
            remote: "10.0.0.1:7".parse().unwrap(),
            connections: 1,
            bytes: 1_000,
        }]);
        let (mut client, told) = (Some(client), Told::default());
        let server = |_| Forgetful {
            aborts,
            held: None,
            told: Arc::clone(&told),
        };
        let mut world = World::new(&Plan::default(), server, |_| client.take().unwrap());
        world.server.listen(0, &Listen::on(7));
        world.run_for(LATE * 2);
        assert_eq!(*told.lock().unwrap(), [Ok(())], "aborts: {aborts}");
        world.assert_as_at_start();
    }
}
