//! What Debezium says of the tables of a snapshot while streaming goes on: which it has read, and which not. Nothing else says so. The worker's
//! log4j writes these notifications into a file of their own, one a line.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use synccluster_protocol::event::TableName;

/// How log4j knows them.
const LOGGER: &str = "io.debezium.pipeline.notification.channels.LogNotificationChannel";
/// A table was read, or left out.
const COMPLETED: &str = "type='TABLE_SCAN_COMPLETED'";

/// Notifications of a worker.
pub struct Notifications {
    file: PathBuf,
    /// Where those begin that count.
    from: u64,
}

/// How it is with a table.
#[derive(Debug, PartialEq, Eq)]
pub enum Scan {
    /// All its rows were read.
    Sent,
    /// They were not; Debezium's word for why.
    Failed(String),
}

impl Notifications {
    /// Those of a worker with this folder, from the first.
    pub fn of(folder: &Path) -> Self {
        let file = folder.join("notifications");
        Self { file, from: 0 }
    }

    /// What was said up to now does not count.
    pub fn skip(&mut self) -> io::Result<()> {
        self.from = self.file.metadata()?.len();
        Ok(())
    }

    /// What was said last of a table that Debezium is done with.
    pub fn scan(&self, table: &TableName) -> io::Result<Scan> {
        let mut text = Vec::new();
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.from))?;
        file.read_to_end(&mut text)?;
        Ok(read(&String::from_utf8_lossy(&text), table))
    }
}

/// The worker's log4j: warnings go where they went, notifications into their file.
pub fn log4j(folder: &Path) -> String {
    let file = Notifications::of(folder).file;
    format!(
        "status=error
appender.log.type=Console
appender.log.name=log
appender.log.layout.type=PatternLayout
appender.log.layout.pattern=%d{{HH:mm:ss.SSS}} [%t] %-5level %logger{{36}} - %msg%n
appender.notifications.type=File
appender.notifications.name=notifications
appender.notifications.fileName={}
appender.notifications.layout.type=PatternLayout
appender.notifications.layout.pattern=%msg%n
appender.notifications.filter.completed.type=RegexFilter
appender.notifications.filter.completed.regex=.*{COMPLETED}.*
logger.notifications.name={LOGGER}
logger.notifications.level=info
logger.notifications.additivity=false
logger.notifications.appenderRef.notifications.ref=notifications
rootLogger.level=warn
rootLogger.appenderRef.log.ref=log
",
        file.display()
    )
}

fn read(text: &str, table: &TableName) -> Scan {
    // Java prints a map without quotes: the name ends at the next entry or with the map.
    let name = format!("scanned_collection={table}");
    let about = |line: &&str| line.contains(&format!("{name}, ")) || line.contains(&format!("{name}}}"));
    let last = text.lines().filter(|line| line.contains(COMPLETED)).rfind(about);
    let status = last.and_then(|line| {
        let (_, rest) = line.rsplit_once("status=")?;
        rest.split([',', '}']).next()
    });
    match status {
        // A table without rows.
        Some("SUCCEEDED" | "EMPTY") => Scan::Sent,
        Some(status) => Scan::Failed(status.to_owned()),
        None => Scan::Failed("it does not say whether".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(table: &str, status: &str) -> String {
        format!(
            "[Notification Service]  {{id='a-1795273735738', aggregateType='Incremental Snapshot', type='TABLE_SCAN_COMPLETED', additionalData={{\
             scanned_collection={table}, connector_name=t.server, total_rows_scanned=12882, data_collections={table}, status={status}}}, timestamp=1}}\n"
        )
    }

    #[test]
    fn what_was_said_last_of_a_table_counts() {
        let (todos, notes) = (TableName::new("public", "todos"), TableName::new("public", "notes"));
        let failed = |why: &str| Scan::Failed(why.to_owned());
        let mut text = said("public.todos", "SQL_EXCEPTION") + &said("public.notes", "EMPTY");
        assert_eq!(read(&text, &todos), failed("SQL_EXCEPTION"));
        assert_eq!(read(&text, &notes), Scan::Sent);
        text += &said("public.todos", "SUCCEEDED");
        assert_eq!(read(&text, &todos), Scan::Sent);
        let longer = said("public.todos_of_others", "SUCCEEDED");
        assert_eq!(read(&longer, &todos), failed("it does not say whether"));
    }
}
