//! The page's files, as they were built into the binary.

use axum::{
    body::Bytes,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use synccluster_web::tags::tags;

use crate::problem::Problem;

/// A file of the page.
#[derive(Debug)]
pub struct Asset {
    /// Where it is asked for.
    pub path: &'static str,
    content_type: &'static str,
    /// A hash of its content, in quotes.
    etag: &'static str,
    /// Whether its name changes with its content.
    immutable: bool,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

/// In the order of their paths, as build.rs found them.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The file at this path.
pub fn find(path: &str) -> Option<&'static Asset> {
    let path = if path == "/" { "/index.html" } else { path };
    let found = ASSETS.binary_search_by(|asset| asset.path.cmp(path));
    found.ok().map(|index| &ASSETS[index])
}

/// How a Content-Security-Policy names the style that the page has in itself, `'sha256-…'`; without the page there is none.
pub fn own_style() -> Option<String> {
    style_hash(std::str::from_utf8(find("/")?.plain).ok()?)
}

fn style_hash(page: &str) -> Option<String> {
    let (_, from) = page.split_once("<style>")?;
    let (style, _) = from.split_once("</style>")?;
    Some(format!("'sha256-{}'", STANDARD.encode(Sha256::digest(style))))
}

/// What no route answers: a file of the page, or nothing.
pub async fn serve(request: Request) -> Response {
    let path = request.uri().path();
    let Some(asset) = find(path) else {
        let detail = format!("there is nothing at {path}; /docs lists what there is");
        return Problem::not_found("unknown-route", "Unknown route", detail).into_response();
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return method_not_allowed(request).await;
    }
    asset.answer(request.headers())
}

/// What a route answers to a method it does not have.
pub async fn method_not_allowed(request: Request) -> Response {
    let detail = format!(
        "{} cannot be {}; /docs lists what can",
        request.uri().path(),
        request.method()
    );
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "Method not allowed",
        detail,
    )
    .into_response()
}

impl Asset {
    fn answer(&self, asked: &HeaderMap) -> Response {
        let (body, encoding) = self.encoded(asked);
        let caching = if self.immutable {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, HeaderValue::from_static(self.etag));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if asked
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .any(|known| names(known, self.etag))
        {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        (headers, Bytes::from_static(body)).into_response()
    }

    /// The smallest form the browser takes.
    fn encoded(&self, asked: &HeaderMap) -> (&'static [u8], Option<&'static str>) {
        let forms = [(self.brotli, "br"), (self.gzip, "gzip")];
        let taken = forms
            .into_iter()
            .find_map(|(body, name)| body.filter(|_| accepts(asked, name)).map(|body| (body, Some(name))));
        taken.unwrap_or((self.plain, None))
    }
}

/// Whether `Accept-Encoding` lists this one, and not with weight 0.
fn accepts(asked: &HeaderMap, encoding: &str) -> bool {
    let texts = asked
        .get_all(header::ACCEPT_ENCODING)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let weight = parts
            .find_map(|part| part.strip_prefix("q="))
            .and_then(|weight| weight.parse::<f32>().ok());
        named && weight.is_none_or(|weight| weight > 0.0)
    })
}

/// Whether `If-None-Match` names this tag. A proxy that packs on its way marks a tag as weak, and the page is the same.
fn names(known: &HeaderValue, etag: &str) -> bool {
    let known = known.to_str().ok().and_then(tags).unwrap_or_default();
    known.iter().any(|tag| tag.opaque == etag.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    static ASSET: Asset = Asset {
        path: "/app-ABC.js",
        content_type: "text/javascript; charset=utf-8",
        etag: "\"abc\"",
        immutable: true,
        plain: b"plain",
        brotli: Some(b"br"),
        gzip: Some(b"gz"),
    };

    fn asked(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_smallest_form_the_browser_takes_is_sent() {
        for (said, expected) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip", Some("gzip")),
            ("br;q=0, gzip;q=0.5", Some("gzip")),
            ("identity", None),
            ("brotli", None),
        ] {
            assert_eq!(
                ASSET.encoded(&asked(&[(header::ACCEPT_ENCODING, said)])).1,
                expected,
                "{said}"
            );
        }
        assert_eq!(ASSET.encoded(&HeaderMap::new()), (&b"plain"[..], None));
    }

    #[test]
    fn the_page_is_at_the_root_and_every_file_is_found() {
        assert!(ASSETS.is_sorted_by(|a, b| a.path < b.path));
        for asset in ASSETS {
            assert!(std::ptr::eq(find(asset.path).unwrap(), asset), "{}", asset.path);
        }
        assert!(
            find("/").is_some_and(|page| page.path == "/index.html" && !page.immutable),
            "run `make page`"
        );
        for path in ["", "index.html", "//", "/app", "/index.html/", "/../index.html"] {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_style_is_named_by_the_hash_of_what_is_between_its_tags() {
        // As the specification has it for a script of these letters.
        let expected = "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='";
        let page = "<head><style>alert('Hello, world.');</style><body>";
        assert_eq!(style_hash(page).as_deref(), Some(expected));
        assert_eq!(style_hash("<head><link rel=stylesheet href=/app.css>"), None);
        assert!(own_style().is_some(), "run `make page`");
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        for (said, status) in [
            ("\"abc\"", 304),
            ("W/\"abc\"", 304),
            ("\"x\", \"abc\"", 304),
            ("\"abcd\"", 200),
            ("abc", 200),
        ] {
            let answer = ASSET.answer(&asked(&[(header::IF_NONE_MATCH, said)]));
            assert_eq!(answer.status().as_u16(), status, "{said}");
            assert_eq!(answer.headers()[header::ETAG], "\"abc\"");
        }
    }
}
