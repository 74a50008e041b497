//! `jarvis docs`: the reference pages, written from what the program itself knows.

mod page;

use crate::{Cli, kinds, terminal};
use anyhow::Context;
use clap::CommandFactory;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Docs {
    /// The folder to write to, such as docs/reference
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Docs {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let pages = pages();
        std::fs::create_dir_all(&self.folder).with_context(|| format!("{} cannot be made", self.folder.display()))?;
        for (name, text) in &pages {
            let file = self.folder.join(name);
            std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        }
        terminal::print(&format!("{} in {}", terminal::counted(pages.len() as u64, "page"), self.folder.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// File names and texts.
fn pages() -> Vec<(String, String)> {
    let kinds = kinds::all();
    let sources = kinds.sources.iter().map(|kind| ("source", kind.name(), kind.options().to_value()));
    let sql = [("operator", "sql", kinds::sql_options())];
    // What may stand in both places has its page among the sinks.
    let operators = kinds.operators.iter().filter(|kind| !kind.is_sink());
    let operators = operators.map(|kind| ("operator", kind.name(), kind.options().to_value()));
    let sinks = kinds.sinks.iter().map(|kind| ("sink", kind.name(), kind.options().to_value()));
    let answering = kinds.answering().map(|kind| ("sink", kind.name(), kind.options().to_value()));
    let all: Vec<(&str, &str, Value)> = sources.chain(sql).chain(operators).chain(sinks).chain(answering).collect();
    let mut pages: Vec<(String, String)> =
        all.iter().map(|(section, kind, options)| (file(section, kind), page::kind(section, kind, options))).collect();
    pages.push(("command-line.md".to_owned(), command_line()));
    pages.push(("README.md".to_owned(), index(&all)));
    pages
}

fn file(section: &str, kind: &str) -> String {
    format!("{section}-{kind}.md")
}

fn index(all: &[(&str, &str, Value)]) -> String {
    let mut text = "# Reference\n\nWritten by `jarvis docs`; a test keeps it up to date.\n\n\
        * [The command line](command-line.md)\n"
        .to_owned();
    for (section, kind, options) in all {
        text += &format!("* [{section} `{kind}`]({}): {}\n", file(section, kind), page::first_sentence(options));
    }
    text
}

fn command_line() -> String {
    let mut cli = Cli::command();
    let about = cli.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("# The command line\n\n{about}.\n");
    cli.build();
    // clap wraps nothing here: the page is the same on every terminal.
    for command in cli.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        let help = command.render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        text += &format!("\n## jarvis {}\n\n```text\n{}\n```\n", command.get_name(), lines.join("\n").trim_end());
    }
    text
}
