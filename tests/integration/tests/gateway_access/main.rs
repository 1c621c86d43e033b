//! Who gets in, what he may do, and what a bad request is answered, over real connections.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Result;
use hyper::{Method, header::AUTHORIZATION};
use synccluster_gateway::{access::Access, app::App, sites::Sites};
use synccluster_integration::{gateway::Gateway, http::Answer};

mod answers;
mod people;
mod secrets;
mod shares;

const EDITOR: &str = "editor-token-0123456789";
const VIEWER: &str = "viewer-token-0123456789";

/// A mounted Secret.
struct Secret(PathBuf);

impl Secret {
    fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("synccluster-access-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let secret = Self(folder);
        secret.write(EDITOR, VIEWER)?;
        Ok(secret)
    }

    fn write(&self, editor: &str, viewer: &str) -> Result<()> {
        fs::write(self.0.join("token"), format!("{editor}\n"))?;
        Ok(fs::write(self.0.join("viewer-token"), viewer)?)
    }

    fn access(&self) -> Result<Access> {
        Ok(Access::guarded("demo".parse()?, Some(self.0.clone()), None)?)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A gateway without sites that knows these people.
async fn guarded(access: Access) -> Result<Gateway> {
    let mut app = App::new("demo".parse()?, Sites::new([].into()), "localhost:1".to_owned());
    app.access = access;
    Gateway::serve(app).await
}

async fn with(gateway: &Gateway, method: Method, path: &str, token: &str) -> Result<Answer> {
    let bearer = format!("Bearer {token}");
    gateway.send(method, path, &[(AUTHORIZATION, &bearer)], None).await
}
