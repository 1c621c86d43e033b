//! What every operation may be answered, whatever it does: by the guard in front of it, and by how its path, its parameters and its body are
//! read. Said once here, so that no route forgets it.

use utoipa::openapi::{
    ContentBuilder, HttpMethod, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder,
    path::{Operation, Parameter, ParameterIn},
};

use crate::access;

/// Signing in needs no token.
const SESSION: &str = "/api/v1/session";
/// A question that is too long for an address.
const QUESTION: &str = "/ways";

/// Adds what is not said by the operations themselves.
pub fn describe(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            for (status, said) in common(path, &method, operation) {
                let responses = &mut operation.responses.responses;
                responses
                    .entry(status.to_owned())
                    .or_insert_with(|| RefOr::T(problem(said)));
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let all = [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Put, &mut item.put),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Delete, &mut item.delete),
        (HttpMethod::Patch, &mut item.patch),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn common(path: &str, method: &HttpMethod, operation: &Operation) -> Vec<(&'static str, &'static str)> {
    let mut common = vec![("504", "No answer within 30 s (`timed-out`).")];
    if path != SESSION {
        let counts = *method == HttpMethod::Get && access::guard::is_of_counts(path);
        let said = if counts {
            "The token is wrong; or nobody is signed in, unless `spec.gateway.access.counters` is `Anyone`."
        } else {
            "Nobody is signed in, or the token is wrong."
        };
        common.push(("401", said));
    }
    if *method != HttpMethod::Get {
        common.push(("403", match path {
            SESSION => "A page of somebody else asks (`cross-site`).",
            _ if path.ends_with(QUESTION) => "A page of somebody else asks with this one's session (`cross-site`).",
            _ => "A viewer may not (`read-only`), or a page of somebody else asks with this one's session (`cross-site`).",
        }));
    }
    let mut parameters = operation.parameters.iter().flatten();
    let is_read = |parameter: &RefOr<Parameter>| match parameter {
        RefOr::T(parameter) => matches!(parameter.parameter_in, ParameterIn::Path | ParameterIn::Query),
        RefOr::Ref(_) => false,
    };
    if parameters.any(is_read) {
        common.push((
            "400",
            "A part of the path cannot be read (`bad-path`), or a parameter is wrong or not known (`bad-parameter`).",
        ));
    }
    if operation.request_body.is_some() {
        common.extend([
            (
                "400",
                "The body is no JSON (`bad-json`), or a part of the path cannot be read (`bad-path`).",
            ),
            ("413", "The body has more than 1 MiB (`too-large`)."),
            ("415", "The body is not said to be JSON (`not-json`)."),
            ("422", "The body is not what is expected (`bad-body`)."),
        ]);
    }
    common
}

fn problem(said: &str) -> Response {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    ResponseBuilder::new()
        .description(said)
        .content("application/problem+json", content)
        .build()
}
