//! Who asks, as a proxy in front says it.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderName};

use super::{Caller, Means, Role, unauthorized};
use crate::problem::Problem;

/// The longest name that is believed.
const LONGEST: usize = 256;

/// A header that a proxy sets, and takes away where it comes from outside. Whoever reaches the gateway past the proxy can set it too: the
/// NetworkPolicy in front must let the proxy in and nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    header: HeaderName,
    editors: BTreeSet<String>,
}

impl Identity {
    /// By this header; these may change things, all others may look.
    pub fn new(header: HeaderName, editors: impl IntoIterator<Item = String>) -> Self {
        Self {
            header,
            editors: editors.into_iter().collect(),
        }
    }

    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let mut values = headers.get_all(&self.header).into_iter();
        let name = match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok().map(str::trim),
            // Said twice: one of them came past the proxy.
            _ => None,
        };
        let name = name
            .filter(|name| !name.is_empty() && name.len() <= LONGEST)
            .ok_or_else(|| {
                let detail = format!(
                    "the proxy in front must name who asks, once, in the header `{}`",
                    self.header
                );
                unauthorized("no-identity", &detail)
            })?;
        let role = if self.editors.contains(name) {
            Role::Editor
        } else {
            Role::Viewer
        };
        Ok(Caller {
            name: name.to_owned(),
            role,
            means: Means::Proxy,
            session: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(values: &[&str]) -> Result<(String, Role), u16> {
        let header = HeaderName::from_static("x-forwarded-user");
        let identity = Identity::new(header.clone(), ["ada".to_owned()]);
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&header, value.parse().unwrap());
        }
        let caller = identity.caller(&headers).map_err(|problem| problem.status)?;
        Ok((caller.name, caller.role))
    }

    #[test]
    fn editors_are_listed_and_everybody_else_may_look() {
        assert_eq!(asked(&["ada"]), Ok(("ada".to_owned(), Role::Editor)));
        assert_eq!(asked(&["Ada"]), Ok(("Ada".to_owned(), Role::Viewer)));
        assert_eq!(asked(&["bob"]), Ok(("bob".to_owned(), Role::Viewer)));
    }

    #[test]
    fn nobody_and_two_at_once_are_refused() {
        assert_eq!(asked(&[]), Err(401));
        assert_eq!(asked(&[" "]), Err(401));
        assert_eq!(asked(&["bob", "ada"]), Err(401));
        assert_eq!(asked(&[&"x".repeat(300)]), Err(401));
    }
}
