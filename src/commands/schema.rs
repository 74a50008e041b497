//! `jarvis schema`: the JSON schema of pipeline files.

use crate::{kinds, terminal};
use anyhow::Context;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Schema {}

impl Schema {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let kinds = kinds::all();
        let sources = kinds.sources.iter().map(|kind| (kind.name().to_owned(), kind.options())).collect();
        let answering = kinds.answering().map(|kind| (kind.name().to_owned(), kind.options()));
        let sinks = kinds.sinks.iter().map(|kind| (kind.name().to_owned(), kind.options())).chain(answering).collect();
        let sql = kinds::sql_options().try_into().context("the schema of sql is none")?;
        let operators = kinds.operators.iter().map(|kind| (kind.name().to_owned(), kind.options()));
        let operators = std::iter::once(("sql".to_owned(), sql)).chain(operators).collect();
        let schema = jarvis_spec::json_schema(sources, operators, sinks);
        terminal::print(&format!("{schema:#}"))?;
        Ok(ExitCode::SUCCESS)
    }
}
