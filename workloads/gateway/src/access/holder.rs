//! For whom something stays open, so that nobody takes all there is.

use std::{
    convert::Infallible,
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{Extensions, request::Parts},
};

use super::{Caller, Means, SessionId};

/// What one network gives out at will, of an IPv6 address: a household can have all of the rest.
const NETWORK: Ipv6Addr = Ipv6Addr::new(0xffff, 0xffff, 0xffff, 0xffff, 0, 0, 0, 0);

/// Who counts as one. A name that a proxy tells is a person, wherever he is. A token is everybody's who was given it: the page has a session
/// for each browser, elsewhere the address counts too; behind an ingress controller, which has one for all, that is everybody with the same
/// token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The name that a proxy tells.
    Named(String),
    /// One session of those with this token, at this address.
    Session(SessionId, String, Option<IpAddr>),
    /// What those with this token are called, at this address; without an address in a process without connections.
    Token(String, Option<IpAddr>),
    /// Nobody had to show anything.
    At(Option<IpAddr>),
}

impl Holder {
    /// Of who asks, if he had to show that, and where the connection comes from.
    pub fn of(caller: Option<&Caller>, peer: Option<SocketAddr>) -> Self {
        let address = peer.map(|peer| network(peer.ip()));
        match caller {
            Some(Caller {
                name, means, session, ..
            }) => match means {
                Means::Proxy => Self::Named(name.clone()),
                Means::Token | Means::Session => match session {
                    Some(id) => Self::Session(*id, name.clone(), address),
                    None => Self::Token(name.clone(), address),
                },
                Means::Open => Self::At(address),
            },
            None => Self::At(address),
        }
    }

    /// Whom he counts among too: who has a token begins as many sessions as he likes.
    pub fn among(&self) -> Option<Self> {
        match self {
            Self::Session(_, name, address) | Self::Token(name, address) => Some(Self::Token(name.clone(), *address)),
            Self::Named(_) | Self::At(_) => None,
        }
    }
}

/// Where the connection of a request comes from.
pub fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(peer)| *peer)
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(address & NETWORK),
        address @ IpAddr::V4(_) => address,
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) | Self::Token(name, None) => f.write_str(name),
            Self::Session(_, name, None) => write!(f, "a session of {name}"),
            Self::Session(_, name, Some(address)) => write!(f, "a session of {name} at {address}"),
            Self::Token(name, Some(address)) => write!(f, "{name} at {address}"),
            Self::At(Some(address)) => write!(f, "{address}"),
            Self::At(None) => f.write_str("one caller"),
        }
    }
}

/// The guard tells who asks, and the connection where from.
impl<S: Send + Sync> FromRequestParts<S> for Holder {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.extensions.get(), peer(&parts.extensions)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;

    fn holder(means: Option<Means>, name: &str, peer: &str) -> Holder {
        let caller = means.map(|means| Caller {
            name: name.to_owned(),
            role: Role::Viewer,
            means,
            session: None,
        });
        Holder::of(caller.as_ref(), Some(peer.parse().unwrap()))
    }

    #[test]
    fn a_person_is_one_wherever_he_is_and_two_are_two_behind_one_proxy() {
        let named = |name, peer| holder(Some(Means::Proxy), name, peer);
        assert_eq!(named("ada", "10.0.0.1:1"), named("ada", "10.0.0.2:2"));
        assert_ne!(named("ada", "10.0.0.1:1"), named("bob", "10.0.0.1:1"));
    }

    #[test]
    fn a_token_counts_at_each_address_and_by_a_session_without_an_id_too() {
        let token = |name, peer| holder(Some(Means::Token), name, peer);
        assert_eq!(token("viewer", "10.0.0.1:1"), token("viewer", "10.0.0.1:2"));
        assert_eq!(
            token("viewer", "10.0.0.1:1"),
            holder(Some(Means::Session), "viewer", "10.0.0.1:3")
        );
        assert_ne!(token("viewer", "10.0.0.1:1"), token("viewer", "10.0.0.2:1"));
        assert_ne!(token("viewer", "10.0.0.1:1"), token("editor", "10.0.0.1:1"));
        assert_ne!(
            token("ada", "10.0.0.1:1"),
            holder(Some(Means::Proxy), "ada", "10.0.0.1:1")
        );
    }

    #[test]
    fn each_session_is_one_and_all_of_a_token_at_an_address_are_together() {
        let session = |id, name: &str| {
            let caller = Caller {
                name: name.to_owned(),
                role: Role::Viewer,
                means: Means::Session,
                session: Some(SessionId::new(id)),
            };
            Holder::of(Some(&caller), Some("10.0.0.1:1".parse().unwrap()))
        };
        let token = holder(Some(Means::Token), "viewer", "10.0.0.1:2");
        assert_eq!(session(1, "viewer"), session(1, "viewer"));
        assert_ne!(session(1, "viewer"), session(2, "viewer"));
        assert_ne!(session(1, "viewer"), token);
        assert_eq!(session(1, "viewer").to_string(), "a session of viewer at 10.0.0.1");
        for one in [session(1, "viewer"), session(2, "viewer"), token.clone()] {
            assert_eq!(one.among().as_ref(), Some(&token), "{one}");
        }
        assert_ne!(session(1, "editor").among(), Some(token));
        assert_eq!(holder(Some(Means::Proxy), "ada", "10.0.0.1:1").among(), None);
        assert_eq!(holder(None, "", "10.0.0.1:1").among(), None);
    }

    #[test]
    fn an_address_is_that_of_its_network_however_it_is_written() {
        let open = |peer| holder(Some(Means::Open), "anybody", peer);
        assert_eq!(open("10.0.0.1:1"), holder(None, "", "10.0.0.1:2"));
        assert_eq!(open("10.0.0.1:1"), open("[::ffff:10.0.0.1]:1"));
        assert_ne!(open("10.0.0.1:1"), open("10.0.0.2:1"));
        assert_eq!(open("[2001:db8::1]:1"), open("[2001:db8::ffff:1]:1"));
        assert_ne!(open("[2001:db8::1]:1"), open("[2001:db8:0:1::1]:1"));
        assert_eq!(open("[2001:db8::1]:1").to_string(), "2001:db8::");
    }
}
