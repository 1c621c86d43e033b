//! Embeds the page: what `make page` put into page/dist becomes the table that assets.rs includes. Without it there is nothing to release; whoever
//! works on something else is only told.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let page = Path::new("page");
    let dist = page.join("dist");
    // A path that does not exist would count as changed in every build.
    let watched = if dist.is_dir() { &dist } else { page };
    println!("cargo::rerun-if-changed={}", watched.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?);
    let table = if dist.is_dir() {
        // Checkouts that share a target folder share what this makes: it holds the files and not the way to one checkout's.
        for entry in fs::read_dir(&dist)? {
            let entry = entry?;
            fs::copy(entry.path(), out.join(entry.file_name()))?;
        }
        table(&dist)?
    } else {
        let severity = if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
            "error"
        } else {
            "warning"
        };
        println!("cargo::{severity}=the page is not built, so the gateway has none: run `make page`");
        "&[]".to_owned()
    };
    fs::write(out.join("assets.rs"), table)
}

/// The files by path, each with its packed forms, as an expression of type `&[Asset]`.
fn table(dist: &Path) -> io::Result<String> {
    let mut names: Vec<String> = fs::read_dir(dist)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    names.retain(|name| packed(name).is_none());
    names.sort_unstable();
    let entries: Result<Vec<String>, _> = names.iter().map(|name| entry(dist, name)).collect();
    Ok(format!("&[{}]", entries?.join(",\n")))
}

fn packed(name: &str) -> Option<&str> {
    name.strip_suffix(".br").or_else(|| name.strip_suffix(".gz"))
}

fn entry(dist: &Path, name: &str) -> io::Result<String> {
    let path = dist.join(name);
    let mut hash = DefaultHasher::new();
    fs::read(&path)?.hash(&mut hash);
    let include = |name: &str| format!("include_bytes!(concat!(env!(\"OUT_DIR\"), {:?}))", format!("/{name}"));
    let form = |suffix: &str| {
        let packed = format!("{name}{suffix}");
        if dist.join(&packed).exists() {
            format!("Some({})", include(&packed))
        } else {
            "None".to_owned()
        }
    };
    // app.<hash>.js: between the dots is a hash of the content.
    let immutable = name.split('.').count() == 3;
    Ok(format!(
        "Asset {{ path: {:?}, content_type: {:?}, etag: {:?}, immutable: {immutable}, plain: {}, brotli: {}, gzip: {} }}",
        format!("/{name}"),
        content_type(name)?,
        format!("\"{:016x}\"", hash.finish()),
        include(name),
        form(".br"),
        form(".gz"),
    ))
}

fn content_type(name: &str) -> io::Result<&'static str> {
    match name.rsplit('.').next() {
        Some("html") => Ok("text/html; charset=utf-8"),
        Some("js") => Ok("text/javascript; charset=utf-8"),
        Some("css") => Ok("text/css; charset=utf-8"),
        Some("svg") => Ok("image/svg+xml"),
        _ => Err(io::Error::other(format!(
            "page/dist/{name} has a type that build.rs does not know"
        ))),
    }
}
