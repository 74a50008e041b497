//! `jarvis sql`: questions about what was recorded and about what is.

use crate::client::{Client, InstanceArgument};
use crate::http::ARROW_STREAM;
use crate::{log, views};
use anyhow::{Context, anyhow, bail};
use arrow::ipc::reader::StreamReader;
use arrow::record_batch::RecordBatch;
use jarvis_lineage::ResultFormat;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Sql {
    /// A SELECT over `lineage.PIPELINE.STREAM` (what was recorded, with `_time` and `_diff`) and `PIPELINE.STREAM` (a
    /// live view)
    #[arg(value_name = "QUERY")]
    query: String,
    /// The folder with the lineage; without it a running instance is asked for its own
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// table, json (lines), csv or parquet
    #[arg(long, default_value = "table")]
    format: ResultFormat,
    #[command(flatten)]
    instance: InstanceArgument,
}

impl Sql {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        log::quiet();
        let rows = match &self.data {
            Some(data) => self.over(data)?,
            None => ask(&self.client_or_hint()?, &self.query)?,
        };
        jarvis_lineage::write(self.format, &rows, std::io::stdout()).map_err(into_plain)?;
        Ok(ExitCode::SUCCESS)
    }

    fn client_or_hint(&self) -> anyhow::Result<Client> {
        let client = self.instance.client()?;
        if !client.answers() {
            let address = client.address();
            bail!("no jarvis answers at {address}: name a folder with --data DIR, or say with --at where one runs");
        }
        Ok(client)
    }

    /// Over a folder, and over the views of an instance that the query names.
    fn over(&self, data: &Path) -> anyhow::Result<Vec<RecordBatch>> {
        jarvis_plan::dialect::readable(&self.query).map_err(|error| anyhow!(views::reason(&error)))?;
        let views = self.views()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        if views.is_empty() {
            return Ok(runtime.block_on(jarvis_lineage::query(data, &self.query))?);
        }
        runtime.block_on(views::query(views, Some(data), &self.query)).map_err(|error| anyhow!(views::reason(&error)))
    }

    fn views(&self) -> anyhow::Result<Vec<views::View>> {
        // What is no SQL gets its message from who plans it.
        let named = views::named(&self.query).unwrap_or_default();
        let client = self.instance.client()?;
        if named.is_empty() || !client.answers() {
            return Ok(vec![]);
        }
        let streams: Vec<super::top::Stream> = client.json("/streams")?;
        let live = named.into_iter().filter(|name| streams.iter().any(|s| s.name == *name && s.role != "sink"));
        // An instance holds no copy of some streams; those may still be in the lineage.
        let rows = |name: String| Some((name.clone(), ask(&client, &format!("SELECT * FROM {name}")).ok()?));
        Ok(live.filter_map(rows).collect())
    }
}

/// Sends a query to an instance.
fn ask(client: &Client, query: &str) -> anyhow::Result<Vec<RecordBatch>> {
    let mut answer = client.post("/sql", ARROW_STREAM, query.as_bytes())?;
    let read = |body: &[u8]| -> Result<Vec<RecordBatch>, arrow::error::ArrowError> {
        let reader = StreamReader::try_new(body, None)?;
        let schema = reader.schema();
        let mut batches = reader.collect::<Result<Vec<_>, _>>()?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        Ok(batches)
    };
    read(&answer.all()?).context("the answer of the instance cannot be read")
}

/// Keeps a closed pipe recognisable as such.
fn into_plain(error: jarvis_lineage::encode::EncodeError) -> anyhow::Error {
    match error {
        jarvis_lineage::encode::EncodeError::Io(error) => error.into(),
        other => other.into(),
    }
}
