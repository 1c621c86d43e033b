//! The checkout that tests run in.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// A file or folder of the checkout that this runs in, by its path there, such as `charts/synccluster`. Not of the checkout it was built in, as
/// `CARGO_MANIFEST_DIR` of the compiler would say: several can share a target folder, and that one may be gone.
pub fn repository(path: &str) -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    here.ancestors()
        .find(|folder| folder.join("Cargo.lock").is_file())
        .map(|root| root.join(path))
        .with_context(|| {
            format!(
                "{} is in no checkout: run this in the repository, by cargo or make",
                here.display()
            )
        })
}
