//! What the tables to fill look like: columns and their types, what they must not be, what has to differ, what refers to what. Pure;
//! [`read`] gets it from a site's catalogue.

mod checks;
mod order;
pub mod read;
mod types;

pub use checks::Limits;
pub use order::{CycleError, load_order};

use synccluster_protocol::event::TableName;

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Schema and name.
    pub name: TableName,
    /// Those that are written: generated ones and the versions are left out.
    pub columns: Vec<Column>,
    /// Places of the primary key's columns, in its order.
    pub key: Vec<usize>,
    /// What may occur once only, the primary key first: places of columns.
    pub unique: Vec<Vec<usize>>,
    /// What refers to other rows.
    pub foreign: Vec<ForeignKey>,
    /// Whether rows of any table refer to its rows.
    pub referenced: bool,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as SQL writes it, `character varying(20)`.
    pub sql_type: String,
    /// Its type as values are made for it; of a domain, the type below.
    pub kind: Kind,
    /// Whether it must have a value.
    pub not_null: bool,
    /// The sequence that fills it, quoted as SQL needs it.
    pub sequence: Option<String>,
    /// What CHECK constraints and domains ask for, as far as it was understood.
    pub limits: Limits,
}

/// Columns that refer to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// Places of the columns.
    pub columns: Vec<usize>,
    /// The table they refer to.
    pub table: TableName,
    /// Its columns, in the same order.
    pub target: Vec<String>,
}

/// A type, as values are made for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// boolean
    Bool,
    /// smallint, integer, bigint and oid, by their highest value.
    Integer(i64),
    /// real, double precision
    Float {
        /// Whether it is the one with 53 bits.
        double: bool,
    },
    /// numeric; without precision and scale it takes any.
    Numeric(Option<(u32, u32)>),
    /// money
    Money,
    /// text, varchar, char, name: with the most characters it takes.
    Text(Option<u32>),
    /// bytea
    Bytes,
    /// date
    Date,
    /// time
    Time,
    /// time with time zone
    TimeTz,
    /// timestamp
    Timestamp,
    /// timestamp with time zone
    TimestampTz,
    /// interval
    Interval,
    /// uuid
    Uuid,
    /// json
    Json,
    /// jsonb
    Jsonb,
    /// xml
    Xml,
    /// inet
    Inet,
    /// cidr
    Cidr,
    /// macaddr
    MacAddr,
    /// macaddr8
    MacAddr8,
    /// bit, bit varying: with how many bits there are at most.
    Bits(u32),
    /// pg_lsn
    Lsn,
    /// tsvector
    TsVector,
    /// tsquery
    TsQuery,
    /// point, line, lseg, box, path, polygon, circle: by name.
    Geometry(&'static str),
    /// A range over this.
    Range(Box<Kind>),
    /// Several ranges over this.
    Multirange(Box<Kind>),
    /// An enum with these labels.
    Enum(Vec<String>),
    /// An array of these.
    Array(Box<Kind>),
    /// No values can be made for it: its name.
    Other(String),
}

impl Table {
    /// The place of a column.
    pub fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|found| found.name == column)
    }

    /// Whether a column may be changed without saying what a row is or what it refers to.
    pub fn is_plain(&self, place: usize) -> bool {
        let among = |places: &Vec<usize>| places.contains(&place);
        !self.unique.iter().any(among) && !self.foreign.iter().any(|key| key.columns.contains(&place))
    }

    /// The names of the key's columns.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|&place| self.columns[place].name.as_str())
    }
}
