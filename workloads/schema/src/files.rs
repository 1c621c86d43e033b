//! Migration files as a ConfigMap mounts them.

use std::{fs, io, path::Path};

use refinery::Migration;

/// Why the migrations cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or a file cannot be read.
    #[error(
        "cannot read migrations from {folder}: {source}; is the ConfigMap of spec.schema.migrations mounted there?"
    )]
    Read {
        /// Where.
        folder: String,
        /// Why.
        source: io::Error,
    },
    /// A name that is not Flyway's.
    #[error(
        "migration `{name}` has no name of the form V1__create_todos.sql (V, a number, two underscores, a description): rename the key of the ConfigMap"
    )]
    Name {
        /// The file.
        name: String,
    },
}

/// The migrations of a folder, in the order of their versions. Only `*.sql` at the top: a mounted ConfigMap has its files a second time
/// under `..data`.
pub fn read(folder: &Path) -> Result<Vec<Migration>, Error> {
    let unreadable = |source| Error::Read {
        folder: folder.display().to_string(),
        source,
    };
    let mut migrations = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".sql") else {
            continue;
        };
        let sql = fs::read_to_string(&path).map_err(unreadable)?;
        migrations.push(Migration::unapplied(stem, &sql).map_err(|_| Error::Name { name: name.clone() })?);
    }
    migrations.sort();
    Ok(migrations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("sync-files-{}-{}", std::process::id(), files.join("-").len()));
        fs::create_dir_all(&folder).unwrap();
        for file in files {
            fs::write(folder.join(file), "select 1").unwrap();
        }
        folder
    }

    #[test]
    fn migrations_run_in_the_order_of_their_numbers_not_of_their_letters() {
        let folder = folder(&["V10__c.sql", "V2__b.sql", "V1__a.sql", "README.md"]);
        let names: Vec<_> = read(&folder).unwrap().iter().map(ToString::to_string).collect();
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(names, ["V1__a", "V2__b", "V10__c"]);
    }

    #[test]
    fn a_file_with_another_name_is_refused_by_name() {
        let folder = folder(&["create_todos.sql"]);
        let error = read(&folder).unwrap_err().to_string();
        fs::remove_dir_all(folder).unwrap();
        assert!(error.contains("create_todos.sql") && error.contains("V1__"), "{error}");
    }
}
