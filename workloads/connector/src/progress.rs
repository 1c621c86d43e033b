//! What Kafka has acknowledged, and so what Postgres may forget. Pure.

use std::collections::VecDeque;

use synccluster_protocol::Lsn;

/// Transactions on their way, oldest first.
#[derive(Debug, Default)]
pub struct Progress {
    first: u64,
    transactions: VecDeque<Transaction>,
    confirmed: Lsn,
}

#[derive(Debug)]
struct Transaction {
    outstanding: u64,
    /// The position behind its commit; known when all of it was handed over.
    end: Option<Lsn>,
    /// When it was begun, milliseconds since the Unix epoch.
    since: i64,
}

impl Progress {
    /// A transaction begins; the number names it in [`Self::acknowledged`].
    pub fn begin(&mut self, now: i64) -> u64 {
        self.transactions.push_back(Transaction {
            outstanding: 0,
            end: None,
            since: now,
        });
        self.first + self.transactions.len() as u64 - 1
    }

    /// One record of it was handed to the producer.
    pub fn sent(&mut self, transaction: u64) {
        if let Some(transaction) = self.find(transaction) {
            transaction.outstanding += 1;
        }
    }

    /// Kafka has one record of it, or it was taken back.
    pub fn acknowledged(&mut self, transaction: u64) {
        if let Some(transaction) = self.find(transaction) {
            transaction.outstanding = transaction.outstanding.saturating_sub(1);
        }
        self.settle();
    }

    /// All of it was handed over; it ends at `end`.
    pub fn commit(&mut self, transaction: u64, end: Lsn) {
        if let Some(transaction) = self.find(transaction) {
            transaction.end = Some(end);
        }
        self.settle();
    }

    /// Nothing before `end` concerns us. Counts only while nothing is on its way: a keepalive may overtake what Kafka has not acknowledged.
    pub fn idle_until(&mut self, end: Lsn) {
        if self.transactions.is_empty() {
            self.confirmed = self.confirmed.max(end);
        }
    }

    /// Everything before this is in Kafka or does not concern us; 0/0 before anything is known.
    pub fn confirmed(&self) -> Lsn {
        self.confirmed
    }

    /// Whether Kafka has all of this transaction and of those before it.
    pub fn settled(&self, transaction: u64) -> bool {
        transaction < self.first
    }

    /// Whether there are records that were handed over and that Kafka has not acknowledged.
    pub fn waits(&self) -> bool {
        self.transactions.iter().any(|transaction| transaction.outstanding > 0)
    }

    /// When the oldest transaction on its way was begun.
    pub fn oldest(&self) -> Option<i64> {
        self.transactions.front().map(|transaction| transaction.since)
    }

    fn find(&mut self, transaction: u64) -> Option<&mut Transaction> {
        self.transactions
            .get_mut(usize::try_from(transaction.checked_sub(self.first)?).ok()?)
    }

    fn settle(&mut self) {
        while let Some(Transaction {
            outstanding: 0,
            end: Some(end),
            ..
        }) = self.transactions.front()
        {
            self.confirmed = self.confirmed.max(*end);
            self.transactions.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_confirmed_when_all_before_it_are() {
        let mut progress = Progress::default();
        let (first, second) = (progress.begin(1), progress.begin(2));
        for transaction in [first, first, second] {
            progress.sent(transaction);
        }
        progress.commit(first, Lsn(10));
        progress.commit(second, Lsn(20));
        progress.acknowledged(second);
        progress.acknowledged(first);
        assert_eq!(progress.confirmed(), Lsn(0));
        progress.acknowledged(first);
        assert_eq!(progress.confirmed(), Lsn(20));
    }

    #[test]
    fn acknowledged_records_of_a_transaction_that_goes_on_confirm_nothing() {
        let mut progress = Progress::default();
        let transaction = progress.begin(1);
        progress.sent(transaction);
        progress.acknowledged(transaction);
        assert_eq!(progress.confirmed(), Lsn(0));
    }

    #[test]
    fn a_keepalive_confirms_only_while_nothing_is_on_its_way() {
        let mut progress = Progress::default();
        progress.idle_until(Lsn(5));
        let transaction = progress.begin(1);
        progress.sent(transaction);
        progress.commit(transaction, Lsn(10));
        progress.idle_until(Lsn(30));
        assert_eq!(progress.confirmed(), Lsn(5));
        progress.acknowledged(transaction);
        progress.idle_until(Lsn(30));
        assert_eq!(progress.confirmed(), Lsn(30));
    }
}
