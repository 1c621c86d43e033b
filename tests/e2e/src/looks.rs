//! Superset and JupyterLab, as somebody who has what their Secrets say.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use synccluster_operator::names;

use crate::http::Question;
use crate::{Cluster, PATIENCE};

const SUPERSET: u16 = 8088;
const JUPYTER: u16 = 8888;

/// Somebody who has logged in to Superset.
pub struct Superset<'a> {
    cluster: &'a Cluster,
    token: String,
}

impl Cluster {
    /// Its administrator.
    pub async fn superset(&self) -> Result<Superset<'_>> {
        let password = self.key_of(&names::superset(&self.name), "admin-password").await?;
        let credentials = json!({ "username": "admin", "password": password, "provider": "db" });
        let question = Question {
            method: Method::POST,
            path: "/api/v1/security/login",
            token: None,
            body: Some(&credentials),
        };
        let pod = format!("{}-0", names::superset(&self.name));
        let (status, answer) = self.ask(&pod, SUPERSET, question).await?;
        ensure!(status == StatusCode::OK, "{status}: {answer}");
        let token = answer["access_token"].as_str().context("no token")?.to_owned();
        Ok(Superset { cluster: self, token })
    }

    /// What JupyterLab has in its folder, for somebody with its token, and the status for somebody without.
    pub async fn notebooks(&self) -> Result<(Value, StatusCode)> {
        let token = self.key_of(&names::notebooks(&self.name), "token").await?;
        let pod = format!("{}-0", names::notebooks(&self.name));
        let look = async |token| {
            let question = Question {
                method: Method::GET,
                path: "/api/contents",
                token,
                body: None,
            };
            self.ask(&pod, JUPYTER, question).await
        };
        let (status, folder) = look(Some(&*token)).await?;
        ensure!(status == StatusCode::OK, "{status}: {folder}");
        Ok((folder, look(None).await?.0))
    }

    /// Runs `/opt/notebooks/run.sh` in JupyterLab's pod.
    pub async fn in_notebooks(&self, arguments: &[&str]) -> Result<String> {
        let pod = format!("{}-0", names::notebooks(&self.name));
        let command: Vec<&str> = ["/opt/notebooks/run.sh"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        self.exec_within(PATIENCE, &pod, "jupyter", &command).await
    }
}

impl Superset<'_> {
    /// What is to be seen there.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let pod = format!("{}-0", names::superset(&self.cluster.name));
        let question = Question {
            method: Method::GET,
            path,
            token: Some(&self.token),
            body: None,
        };
        let (status, body) = self.cluster.ask(&pod, SUPERSET, question).await?;
        ensure!(status == StatusCode::OK, "GET {path}: {status}: {body}");
        Ok(body)
    }

    /// The rows of each chart of the dashboard, by its name.
    pub async fn charts(&self) -> Result<BTreeMap<String, Value>> {
        let charts = self.get("/api/v1/dashboard/sites/charts").await?;
        let mut rows = BTreeMap::new();
        for chart in charts["result"].as_array().context("no charts")? {
            let name = chart["slice_name"].as_str().context("no name")?;
            let mut data = self.get(&format!("/api/v1/chart/{}/data/", chart["id"])).await?;
            rows.insert(name.to_owned(), data["result"][0]["data"].take());
        }
        Ok(rows)
    }
}
