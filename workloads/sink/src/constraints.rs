//! What of a table's rows can stand in each other's way besides the key: unique and exclusion constraints, and unique indexes that are partial
//! or of expressions; from Postgres' catalogue, in its own words.

use synccluster_protocol::event::TableName;
use tokio_postgres::{Client, Error};

/// Rows of which no two may agree in all parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraint {
    /// What is compared, as SQL over the table's columns.
    pub parts: Vec<String>,
    /// With what, `operator(pg_catalog.=)`: two rows collide where all of them hold.
    pub operators: Vec<String>,
    /// The rows it is about; all where absent.
    pub predicate: Option<String>,
    /// Two NULLs are equal.
    pub nulls_collide: bool,
    /// Postgres checks it with a trigger, and so not at all in a session that fires none.
    pub deferrable: bool,
}

/// The constraints of a table, and what they may be of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    /// All but the primary key.
    pub all: Vec<Constraint>,
    /// Generated columns, each with what it is made of.
    pub generated: Vec<(String, String)>,
}

/// An index of columns and expressions, each with the operator that its operator class or its constraint compares with.
const CONSTRAINTS: &str = "select array_agg(pg_get_indexdef(i.indexrelid, k.place::int, false) order by k.place),
        array_agg(format('operator(%I.%s)', n.nspname, o.oprname) order by k.place),
        pg_get_expr(i.indpred, i.indrelid), i.indnullsnotdistinct, not i.indimmediate
   from pg_index i
   left join pg_constraint c on c.conindid = i.indexrelid and c.conexclop is not null
   cross join unnest(i.indclass::oid[]) with ordinality k(class, place)
   join pg_opclass f on f.oid = k.class
   left join pg_amop a on c.oid is null and a.amopfamily = f.opcfamily and a.amopstrategy = 3
                      and a.amoplefttype = f.opcintype and a.amoprighttype = f.opcintype
   join pg_operator o on o.oid = coalesce(c.conexclop[k.place], a.amopopr)
   join pg_namespace n on n.oid = o.oprnamespace
  where i.indrelid = format('%I.%I', $1::text, $2::text)::regclass and not i.indisprimary and i.indisready
    and (i.indisunique or i.indisexclusion)
  group by i.indexrelid";

const GENERATED: &str = "select a.attname, pg_get_expr(d.adbin, d.adrelid)
   from pg_attribute a join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = format('%I.%I', $1::text, $2::text)::regclass and a.attgenerated <> '' and not a.attisdropped";

/// Asks Postgres.
pub async fn load(client: &Client, table: &TableName) -> Result<Constraints, Error> {
    let constraints = client.query(CONSTRAINTS, &[&table.schema, &table.table]).await?;
    let generated = client.query(GENERATED, &[&table.schema, &table.table]).await?;
    Ok(Constraints {
        all: constraints
            .iter()
            .map(|row| Constraint {
                parts: row.get(0),
                operators: row.get(1),
                predicate: row.get(2),
                nulls_collide: row.get(3),
                deferrable: row.get(4),
            })
            .collect(),
        generated: generated.iter().map(|row| (row.get(0), row.get(1))).collect(),
    })
}
