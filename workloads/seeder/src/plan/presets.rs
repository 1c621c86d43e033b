//! Orders with a name, each of which makes one thing happen.

use serde::Serialize;

use super::{Deltas, Hold, Mix, Pair, WriteKind};
use synccluster_protocol::Site;

/// An order with a name.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it makes happen, and what to look at.
    pub about: &'static str,
    /// What is asked for.
    pub deltas: Deltas,
}

/// All of them. `sites` are those there are: the last client is the one that lags.
pub fn all(sites: &[Site]) -> Vec<Preset> {
    let base = || Deltas {
        rate: 50,
        duration: Some("30s".to_owned()),
        conflicts: 100,
        ..Deltas::default()
    };
    let last = sites.iter().copied().max().unwrap_or(Site::Server);
    vec![
        Preset {
            name: "dual-writes",
            about: "The same rows are updated at two sites within milliseconds, all the time. Every such pair is a conflict unless the one write came before the other \
                    was made; the losers are in sync.conflicts.",
            deltas: Deltas {
                mix: Mix {
                    insert: 20,
                    update: 80,
                    delete: 0,
                },
                skew: 0.8,
                ..base()
            },
        },
        Preset {
            name: "delete-against-write",
            about: "One site deletes a row while another updates it. Which of the two stays is what the table's policy for deletes says.",
            deltas: Deltas {
                mix: Mix {
                    insert: 50,
                    update: 25,
                    delete: 25,
                },
                pair: Some(Pair {
                    first: WriteKind::Delete,
                    second: WriteKind::Update,
                }),
                ..base()
            },
        },
        Preset {
            name: "client-that-lags",
            about: "The last client keeps its transactions open for some seconds before it commits, and others write the same rows meanwhile: what it wrote is old when it \
                    arrives, and what is sent to it waits for its locks.",
            deltas: Deltas {
                mix: Mix {
                    insert: 30,
                    update: 60,
                    delete: 10,
                },
                conflicts: 50,
                skew: 0.8,
                hold: Some(Hold {
                    site: last,
                    time: "3s".to_owned(),
                }),
                ..base()
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_can_be_done_with_a_server_and_a_client() {
        let sites = [Site::Server, Site::Client(1)];
        for preset in all(&sites) {
            preset.deltas.check(&sites).unwrap();
            assert!(
                preset.deltas.lasts().unwrap().is_some(),
                "{} ends by itself",
                preset.name
            );
        }
    }
}
