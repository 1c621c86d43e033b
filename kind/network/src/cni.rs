//! The CNI configuration of this node: what the container runtime does for a new pod.

use std::{fs, io, path::Path};

use serde_json::json;
use thiserror::Error;

use crate::intervals::Cidr;

/// kindnet's name for it, so that kind's own scripts find it.
const FILE: &str = "10-kindnet.conflist";

#[derive(Debug, Error)]
#[error("cannot write {file} ({source}): the node's /etc/cni/net.d has to be mounted and writable")]
pub struct CniError {
    file: String,
    source: io::Error,
}

/// Write the configuration when it is not there already; true when it was written. The runtime reads the folder whenever it
/// changes, so it gets the file whole: written beside, under a name it does not look at, and renamed.
pub fn write(dir: &Path, pods: Cidr) -> Result<bool, CniError> {
    let (file, wanted) = (dir.join(FILE), conflist(pods));
    if fs::read_to_string(&file).is_ok_and(|present| present == wanted) {
        return Ok(false);
    }
    let beside = dir.join(format!("{FILE}.new"));
    fs::write(&beside, wanted)
        .and_then(|()| fs::rename(&beside, &file))
        .map_err(|source| CniError {
            file: file.display().to_string(),
            source,
        })?;
    Ok(true)
}

/// `ptp`: each pod has a link of its own to the node, which routes. So traffic between two pods of one node passes the
/// `forward` hook as well, without the bridge's `br_netfilter`. Leases in `/run` go with the pods when the node starts again.
fn conflist(pods: Cidr) -> String {
    let conflist = json!({
        "cniVersion": "1.0.0",
        "name": "kindnet",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-ipam-state",
                    "ranges": [[{"subnet": pods.to_string()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    format!("{conflist:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_once_per_range_and_leaves_nothing_beside() {
        let dir = std::env::temp_dir().join(format!("synccluster-cni-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (one, other) = ("10.244.1.0/24".parse().unwrap(), "10.244.2.0/24".parse().unwrap());
        let written = [
            write(&dir, one).unwrap(),
            write(&dir, one).unwrap(),
            write(&dir, other).unwrap(),
        ];
        let names: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        let content: serde_json::Value = serde_json::from_str(&fs::read_to_string(dir.join(FILE)).unwrap()).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(written, [true, false, true]);
        assert_eq!(names, [FILE]);
        assert_eq!(content["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], "10.244.2.0/24");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = write(Path::new("/nowhere/net.d"), "10.244.1.0/24".parse().unwrap()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot write /nowhere/net.d/10-kindnet.conflist"),
            "{error}"
        );
    }
}
