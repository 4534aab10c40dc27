//! What is done to a pipeline.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use regraft_testkit::{StopMode, Way};

use super::Ground;

/// Source or target, as an index.
type Side = usize;

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// `kill -9`; then of each daemon that is started in its place, after so long.
    Daemon(Vec<Duration>),
    /// All sessions of the daemon at a server are ended.
    Sessions(Side),
    /// A server crashes and recovers.
    Server(Side),
    /// All connections are cut after so many bytes.
    Cut(Side, u32),
    /// A network that takes everything and gives nothing, for a while.
    Freeze(Side, Duration),
    /// The same for one way only.
    FreezeWay(Side, Way, Duration),
    /// A slow network, for a while.
    Delay(Side, Duration),
    /// What the target answers does not arrive, such as that a commit is done; then the connection is gone.
    Swallow,
}

impl Fault {
    pub(super) fn draw(random: &mut StdRng) -> Self {
        let side = random.random_range(0..2);
        let pause = Duration::from_millis(random.random_range(20..800));
        match random.random_range(0..100) {
            0..40 => {
                let more = if random.random() { random.random_range(1..12) } else { 0 };
                let pause = |_| Duration::from_millis(random.random_range(0..700));
                Fault::Daemon((0..more).map(pause).collect())
            }
            40..56 => Fault::Sessions(side),
            56..61 => Fault::Server(side),
            61..76 => Fault::Cut(side, random.random_range(1..60_000)),
            76..81 => Fault::Freeze(side, pause),
            81..87 => {
                let way = if random.random() { Way::ToServer } else { Way::ToClient };
                Fault::FreezeWay(side, way, pause)
            }
            87..91 => Fault::Delay(side, pause / 20),
            _ => Fault::Swallow,
        }
    }

    /// In a word.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Fault::Daemon(more) if more.is_empty() => "the daemon is killed",
            Fault::Daemon(_) => "the daemon is killed several times in a row",
            Fault::Sessions(0) => "its sessions at the source are ended",
            Fault::Sessions(_) => "its sessions at the target are ended",
            Fault::Server(0) => "the source crashes",
            Fault::Server(_) => "the target crashes",
            Fault::Cut(..) => "a link is cut at some byte",
            Fault::Freeze(..) => "a link freezes",
            Fault::FreezeWay(..) => "a link freezes one way",
            Fault::Delay(..) => "a link is slow",
            Fault::Swallow => "answers of the target are swallowed, and the link cut",
        }
    }

    /// How often a process or sessions have ended by it.
    pub(super) fn kills(&self) -> u64 {
        match self {
            Fault::Daemon(more) => 1 + more.len() as u64,
            Fault::Freeze(..) | Fault::FreezeWay(..) | Fault::Delay(..) => 0,
            _ => 1,
        }
    }
}

impl Ground {
    pub(super) async fn strike(&mut self, fault: &Fault) {
        let links = &self.links;
        match *fault {
            Fault::Daemon(ref more) => {
                if let Some(mut daemon) = self.daemon.take() {
                    daemon.kill9();
                }
                for pause in more {
                    let mut daemon = self.site.run();
                    tokio::time::sleep(*pause).await;
                    if let Some(status) = daemon.ended() {
                        panic!("the daemon ended by itself: {status}\n{}", daemon.log());
                    }
                    daemon.kill9();
                }
            }
            Fault::Sessions(side) => {
                let client = if side == 0 {
                    self.site.at_source().await
                } else {
                    self.site.at_target().await
                };
                let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                           WHERE datname = current_database() AND application_name LIKE 'regraft %'";
                client.batch_execute(sql).await.unwrap();
            }
            Fault::Server(side) => {
                let server = if side == 0 { &self.site.source } else { &self.site.target };
                server.restart(StopMode::Immediate).await.unwrap();
            }
            Fault::Cut(side, bytes) => links[side].cut_after(bytes),
            Fault::Freeze(side, pause) => {
                links[side].freeze();
                tokio::time::sleep(pause).await;
                links[side].thaw();
            }
            Fault::FreezeWay(side, way, pause) => {
                links[side].freeze_way(way);
                tokio::time::sleep(pause).await;
                links[side].thaw();
            }
            Fault::Delay(side, delay) => {
                links[side].delay(delay);
                tokio::time::sleep(Duration::from_millis(500)).await;
                links[side].delay(Duration::ZERO);
            }
            Fault::Swallow => {
                links[1].freeze_way(Way::ToClient);
                tokio::time::sleep(Duration::from_millis(80)).await;
                links[1].cut();
                links[1].thaw();
            }
        }
    }
}
