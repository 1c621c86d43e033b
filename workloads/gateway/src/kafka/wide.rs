//! 64-bit integers on the wire.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A 64-bit integer; travels as text, since a browser's numbers end at 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(as = Integer64, value_type = String, examples("42"))]
pub struct Wide(pub i64);

impl Serialize for Wide {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
