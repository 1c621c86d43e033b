//! What the chart's dashboards and alerts ask for, read out of their PromQL.

use std::fs;

use anyhow::{Context, Result, anyhow, bail, ensure};
use promql_parser::parser::{Expr, LabelModifier, VectorSelector, parse};
use serde::Deserialize;
use serde_json::Value;

use crate::{read, repository};

const DASHBOARDS: &str = "charts/synccluster/files/dashboards";

/// A metric that somebody asks for.
#[derive(Debug, PartialEq)]
pub struct Asked {
    /// The dashboard's or the alert's name.
    pub place: String,
    /// The name.
    pub metric: String,
    /// Labels by which it is chosen or grouped.
    pub labels: Vec<String>,
}

/// An alert.
#[derive(Deserialize)]
pub struct Rule {
    pub alert: String,
    expr: String,
    annotations: Annotations,
    #[serde(skip)]
    pub runbook: String,
}

#[derive(Deserialize)]
struct Annotations {
    summary: String,
    runbook_url: String,
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

/// All alerts.
pub fn rules() -> Result<Vec<Rule>> {
    let rules: Rules = serde_yaml::from_str(&read("charts/synccluster/files/rules.yaml")?)?;
    let rules = rules.groups.into_iter().flat_map(|group| group.rules);
    let rules = rules.map(|mut rule| {
        rule.runbook.clone_from(&rule.annotations.runbook_url);
        rule
    });
    let rules: Vec<Rule> = rules.collect();
    ensure!(!rules.is_empty(), "there are no alerts");
    Ok(rules)
}

/// Everything dashboards and alerts ask for.
pub fn asked() -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for rule in rules()? {
        let own = of(&rule.alert, &rule.expr)?;
        // What the text names has to be left by the expression.
        for label in named(&rule.annotations.summary) {
            ensure!(
                own.iter().any(|asked| asked.labels.contains(&label)),
                "{} names {label}",
                rule.alert
            );
        }
        asked.extend(own);
    }
    for file in fs::read_dir(repository(DASHBOARDS)?)? {
        let path = file?.path();
        let place = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path)?).with_context(|| place.clone())?;
        asked.extend(of_dashboard(&place, &dashboard)?);
    }
    Ok(asked)
}

fn of_dashboard(place: &str, dashboard: &Value) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for panel in dashboard["panels"].as_array().context("no panels")? {
        for target in panel["targets"].as_array().context("no targets")? {
            let expr = target["expr"].as_str().context("no expr")?;
            asked.extend(of(place, &expr.replace("$__rate_interval", "5m"))?);
        }
    }
    for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
        let Some(query) = variable["query"]["query"].as_str() else {
            continue;
        };
        let inner = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        let (series, label) = inner
            .and_then(|inner| inner.rsplit_once(", "))
            .with_context(|| query.to_owned())?;
        for mut one in of(place, series)? {
            one.labels.push(label.to_owned());
            asked.push(one);
        }
    }
    Ok(asked)
}

/// What an expression asks for.
fn of(place: &str, expr: &str) -> Result<Vec<Asked>> {
    let parsed = parse(expr).map_err(|error| anyhow!("{place}: {expr}: {error}"))?;
    let mut asked = Vec::new();
    walk(place, &parsed, &[], &mut asked)?;
    ensure!(!asked.is_empty(), "{place}: {expr} asks for nothing");
    Ok(asked)
}

/// `by` is what the expressions around this one group or join by.
fn walk(place: &str, expr: &Expr, by: &[String], asked: &mut Vec<Asked>) -> Result<()> {
    let with = |modifier: Option<&LabelModifier>| {
        let more = modifier.map_or(&[][..], |modifier| &modifier.labels().labels);
        [by, more].concat()
    };
    match expr {
        Expr::VectorSelector(selector) => asked.push(selected(place, selector, by)?),
        Expr::MatrixSelector(matrix) => asked.push(selected(place, &matrix.vs, by)?),
        Expr::Aggregate(aggregate) => walk(place, &aggregate.expr, &with(aggregate.modifier.as_ref()), asked)?,
        Expr::Binary(binary) => {
            let matching = binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref());
            walk(place, &binary.lhs, &with(matching), asked)?;
            walk(place, &binary.rhs, &with(matching), asked)?;
        }
        Expr::Call(call) => {
            for argument in &call.args.args {
                walk(place, argument, by, asked)?;
            }
        }
        Expr::Paren(paren) => walk(place, &paren.expr, by, asked)?,
        Expr::Unary(unary) => walk(place, &unary.expr, by, asked)?,
        Expr::Subquery(subquery) => walk(place, &subquery.expr, by, asked)?,
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
        Expr::Extension(_) => bail!("{place}: an expression nobody knows"),
    }
    Ok(())
}

fn selected(place: &str, selector: &VectorSelector, by: &[String]) -> Result<Asked> {
    let matched = selector.matchers.matchers.iter().map(|matcher| matcher.name.clone());
    Ok(Asked {
        place: place.to_owned(),
        metric: selector
            .name
            .clone()
            .with_context(|| format!("{place}: a selector without a name"))?,
        labels: matched.chain(by.iter().cloned()).collect(),
    })
}

/// The labels that a text has in it as `{{ $labels.site }}`.
fn named(text: &str) -> Vec<String> {
    let after = text.split("$labels.").skip(1);
    after
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .collect()
}

#[test]
fn names_and_labels_are_found_wherever_they_stand() -> Result<()> {
    let found = of(
        "here",
        r#"sum by (site) (rate(a_total{kind="x"}[5m])) / on (site) max by (site) (b) > 2"#,
    )?;
    let expected = [("a_total", vec!["kind", "site", "site"]), ("b", vec!["site", "site"])];
    for (found, (metric, labels)) in found.iter().zip(&expected) {
        assert_eq!(found.metric, *metric);
        assert_eq!(found.labels, *labels);
    }
    assert_eq!(found.len(), expected.len());
    assert!(of("here", "sum(").is_err());
    Ok(())
}
