//! Whether a browser asks for the gateway's own page or for a stranger's. Pure.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, Uri, header, uri::Authority};

/// Whose page asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The gateway's own, or the person himself by the address bar.
    Same,
    /// Not said: no browser of today, or nothing but a link that was followed.
    Untold,
    /// Somebody else's.
    Stranger,
}

impl Origin {
    /// As the headers say that no script can set. Sec-Fetch-Site is left out by browsers where neither TLS nor localhost is used; Origin is
    /// there with every request that could change something.
    pub fn of(headers: &HeaderMap) -> Self {
        static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
        if let Some(site) = headers.get(&SEC_FETCH_SITE) {
            return match site.as_bytes() {
                b"same-origin" | b"none" => Self::Same,
                _ => Self::Stranger,
            };
        }
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Self::Untold;
        };
        let of_origin = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
        let of_origin = of_origin
            .as_ref()
            .and_then(|uri| Some((uri.authority()?, default_port(uri.scheme_str())?)));
        match (of_origin, host(headers)) {
            (Some((origin, port)), Some(host)) if same(origin, &host, port) => Self::Same,
            _ => Self::Stranger,
        }
    }
}

fn default_port(scheme: Option<&str>) -> Option<u16> {
    match scheme {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    }
}

/// A browser leaves the scheme's own port out of Origin and Host; a proxy may add it to one of them.
fn same(origin: &Authority, host: &Authority, default: u16) -> bool {
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    origin.host().eq_ignore_ascii_case(host.host()) && port(origin) == port(host)
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

/// Whether the gateway is called by an address, or localhost. A name could be a stranger's that leads here, and his page would count as the
/// gateway's own (DNS rebinding).
pub fn is_local(headers: &HeaderMap) -> bool {
    host(headers).is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn what_the_browser_says_of_itself_decides() {
        for (site, expected) in [
            ("same-origin", Origin::Same),
            ("none", Origin::Same),
            ("same-site", Origin::Stranger),
            ("cross-site", Origin::Stranger),
            ("what", Origin::Stranger),
        ] {
            let said = headers(&[("sec-fetch-site", site), ("origin", "http://a"), ("host", "a")]);
            assert_eq!(Origin::of(&said), expected, "{site}");
        }
    }

    #[test]
    fn an_origin_is_the_same_if_host_and_port_are() {
        for (origin, host, expected) in [
            ("http://demo.example:8000", "demo.example:8000", Origin::Same),
            ("http://Demo.Example:8000", "demo.example:8000", Origin::Same),
            ("https://demo.example", "demo.example", Origin::Same),
            ("https://demo.example", "demo.example:443", Origin::Same),
            ("http://demo.example:80", "demo.example", Origin::Same),
            ("http://[::1]:8000", "[::1]:8000", Origin::Same),
            ("http://demo.example:8001", "demo.example:8000", Origin::Stranger),
            ("https://demo.example", "demo.example:80", Origin::Stranger),
            ("http://evil.example", "demo.example", Origin::Stranger),
            ("http://demo.example.evil.example", "demo.example", Origin::Stranger),
            ("null", "demo.example", Origin::Stranger),
            ("", "demo.example", Origin::Stranger),
            ("file://", "demo.example", Origin::Stranger),
        ] {
            let said = headers(&[("origin", origin), ("host", host)]);
            assert_eq!(Origin::of(&said), expected, "{origin} at {host}");
        }
        assert_eq!(Origin::of(&headers(&[("host", "a")])), Origin::Untold);
        assert_eq!(
            Origin::of(&headers(&[("origin", "http://a")])),
            Origin::Stranger,
            "without a host nothing is the same"
        );
    }

    #[test]
    fn local_is_an_address_or_localhost() {
        for host in [
            "localhost:8000",
            "LOCALHOST",
            "127.0.0.1:8000",
            "10.0.0.7",
            "[::1]:8000",
            "[fd00::1]",
        ] {
            assert!(is_local(&headers(&[("host", host)])), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:8000",
            "localhost.evil.example",
            "demo-gateway",
        ] {
            assert!(!is_local(&headers(&[("host", host)])), "{host}");
        }
        assert!(!is_local(&HeaderMap::new()));
    }
}
