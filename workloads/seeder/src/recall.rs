//! What a run came to, from its journal: one that ended, one of a process that was killed, or one that goes on in another.

use std::{collections::HashMap, time::Duration};

use synccluster_protocol::Site;

use crate::{
    journal::{self, End, Folder, Order, Record},
    run::{Control, Phase, Progress},
};

/// Reads it from the beginning.
pub fn recall(journals: &Folder, id: &str) -> Result<Progress, journal::Error> {
    let mut reader = journals.read(id)?;
    let Some(Record::Begin(begin)) = reader.next()? else {
        return Err(journal::Error::NoRun(id.to_owned()));
    };
    let order: Order = serde_json::from_str(&begin.order).map_err(|_| journal::Error::NoRun(id.to_owned()))?;
    let planned = match &order {
        Order::Load(_) => Some(begin.rows.iter().map(|(_, count)| count).sum()),
        Order::Deltas(deltas) => deltas.operations,
    };
    let mut progress = Progress::new(id.to_owned(), order, begin.at, planned);
    // Looked at first: one that ends while it is read was going on then.
    let open = journals.is_open(id);
    let (mut ended, mut took) = (None, Duration::ZERO);
    let mut sent: HashMap<u64, (Site, Vec<u16>)> = HashMap::new();
    let name = |table: u16| begin.tables.get(usize::from(table)).cloned().unwrap_or_default();
    while let Some(record) = reader.next()? {
        // A load that was resumed has records behind an end.
        if !matches!(record, Record::End(_)) {
            ended = None;
        }
        match record {
            Record::Chunk {
                number,
                site,
                table,
                rows,
                ..
            } => drop(sent.insert(number, (site, vec![table; rows as usize]))),
            Record::Batch { number, site, writes } => {
                sent.insert(number, (site, writes.iter().map(|write| write.table).collect()));
            }
            Record::Loaded { number } => {
                if let Some((site, tables)) = sent.remove(&number) {
                    let table = tables.first().copied().unwrap_or_default();
                    progress.acknowledge(site, &name(table), tables.len() as u64);
                }
            }
            Record::Acknowledged { number, versions } => {
                let (site, tables) = sent.remove(&number).unwrap_or((Site::Server, Vec::new()));
                for (table, version) in tables.into_iter().zip(versions) {
                    match version {
                        0 => progress.missed += 1,
                        _ => progress.acknowledge(site, &name(table), 1),
                    }
                }
            }
            Record::Undone { number } => drop(sent.remove(&number)),
            Record::Took { millis } => took += Duration::from_millis(millis),
            Record::End(end) => ended = Some(end),
            Record::Begin(_) | Record::Numbers { .. } => {}
        }
    }
    progress.unknown = sent.values().map(|(_, tables)| tables.len() as u64).sum();
    (progress.phase, progress.error) = match ended {
        _ if open && journals.told(id).is_some_and(|told| told.control == Control::Pause) => (Phase::Paused, None),
        _ if open => (Phase::Running, None),
        Some(End::Done) => (Phase::Done, None),
        Some(End::Stopped) => (Phase::Stopped, None),
        Some(End::Failed(reason)) => (Phase::Failed, Some(reason)),
        None => (Phase::Interrupted, None),
    };
    progress.took(took);
    Ok(progress)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{journal::Begin, plan::Load};

    #[test]
    fn a_run_of_another_process_is_told_from_one_that_ended() {
        let path = std::env::temp_dir().join(format!("synccluster-recall-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let folder = Folder::open(&path).unwrap();
        let (run, mut writer) = folder.create("load").unwrap();
        assert!(
            matches!(recall(&folder, &run), Err(journal::Error::NoRun(_))),
            "it has not begun"
        );
        let begin = Begin {
            order: serde_json::to_string(&Order::Load(Load::default())).unwrap(),
            tables: vec!["public.todos".to_owned()],
            rows: vec![(0, 5)],
            highest: Vec::new(),
            at: 1,
        };
        let phase = || recall(&folder, &run).unwrap().phase;
        writer.append(&Record::Begin(begin)).unwrap();
        assert_eq!(phase(), Phase::Running);
        folder.tell(&run, Control::Pause).unwrap();
        assert_eq!(phase(), Phase::Paused);
        writer.append(&Record::End(End::Stopped)).unwrap();
        drop(writer);
        assert_eq!(phase(), Phase::Stopped, "what it was told before does not count");
        folder.untell(&run);
        let mut writer = folder.append(&run).unwrap();
        assert_eq!(phase(), Phase::Running, "it was resumed");
        writer.append(&Record::Loaded { number: 0 }).unwrap();
        drop(writer);
        assert_eq!(
            phase(),
            Phase::Interrupted,
            "it was resumed, and its process was killed"
        );
    }
}
