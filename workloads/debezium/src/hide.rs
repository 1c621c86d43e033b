//! What Connect says, without what Secrets say: it quotes a setting that it cannot read, and the status is for more people than the Secret.

use std::{cmp::Reverse, fs, path::Path};

use synccluster_protocol::connect::Template;

/// Puts the reference in place of each value that the template takes from a Secret in this folder.
pub fn hide(text: &str, template: &Template, secrets: &Path) -> String {
    let mut values: Vec<(String, String)> = template
        .secrets()
        .into_iter()
        .filter_map(|secret| {
            let value = fs::read_to_string(secrets.join(&secret.name).join(&secret.key)).ok()?;
            let reference = format!("${{secret:{}/{}}}", secret.name, secret.key);
            Some((value.trim().to_owned(), reference))
        })
        .filter(|(value, _)| !value.is_empty())
        .collect();
    // One may be a part of another.
    values.sort_by_key(|(value, _)| Reverse(value.len()));
    let replace = |text: String, (value, reference): &(String, String)| text.replace(value, reference);
    values.iter().fold(text.to_owned(), replace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_repeated_and_everything_else_is() {
        let folder = std::env::temp_dir().join(format!("synccluster-hide-{}", std::process::id()));
        let secret = folder.join("tuning");
        fs::create_dir_all(&secret).unwrap();
        for (key, value) in [("linger", "open sesame\n"), ("part", "sesame"), ("empty", "")] {
            fs::write(secret.join(key), value).unwrap();
        }
        let text =
            "a=${secret:tuning/part}\nb=${secret:tuning/linger}\nc=${secret:tuning/empty}\nd=${secret:other/none}";
        let template = Template::parse(text).unwrap();
        let said = |text: &str| hide(text, &template, &folder);
        assert_eq!(
            said("Invalid value open sesame for configuration linger.ms, and sesame"),
            "Invalid value ${secret:tuning/linger} for configuration linger.ms, and ${secret:tuning/part}"
        );
        assert_eq!(said("no such column"), "no such column");
        fs::remove_dir_all(&folder).unwrap();
    }
}
