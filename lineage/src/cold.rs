//! Old parts in an object store, such as S3.
//!
//! ```text
//! DATA/store                                             where: s3://BUCKET/PREFIX
//! DATA/inputs/PIPELINE/STREAM/part-..-...parquet.cold    what of a part is still here: its size and its columns
//! ```
//!
//! A part that is in the store leaves a note behind, so that what there is is known without asking the store: a query about
//! times whose parts are here needs no network, and a store that cannot be reached is an error only for who needs it.
//! Credentials, region and endpoint are read from the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, ..).

use crate::archive::InputArchive;
use crate::layout;
use anyhow::{Context, anyhow, bail};
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{BackoffConfig, ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::future::Future;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The file that says where the store is.
const PLACE: &str = "store";
/// How long one answer may take, with all of a part in it, and connecting.
const ANSWER: Duration = Duration::from_secs(600);
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request is tried again.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that are sent at once.
const PIECE: usize = 8 << 20;

/// Where old parts are.
#[derive(Clone, Debug)]
pub struct Store {
    /// As people write it.
    url: Url,
    objects: Arc<dyn ObjectStore>,
    prefix: Key,
}

/// A store has not given what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{url} cannot be reached or refuses: {reason}")]
pub(crate) struct Unreachable {
    url: String,
    reason: String,
}

/// What is still here of a part that is in the store.
#[derive(Serialize, Deserialize)]
pub(crate) struct Note {
    key: String,
    pub bytes: u64,
    /// An Arrow IPC stream without rows, base64.
    columns: String,
}

impl Store {
    /// The store of a data folder, if it has one.
    ///
    /// # Errors
    /// What its file says is no place for a store.
    pub fn of(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = data.join(PLACE);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            text => {
                let text = text.with_context(|| format!("{} cannot be read", path.display()))?;
                Self::at(text.trim()).map(Some).with_context(|| format!("{} is of no use", path.display()))
            }
        }
    }

    /// Makes a store the one of a data folder.
    ///
    /// # Errors
    /// It is no place for a store, cannot be reached, or the folder has another one already.
    pub fn choose(data: &Path, url: &str) -> anyhow::Result<Self> {
        let store = Self::at(url)?;
        match Self::of(data)? {
            Some(old) if old.url == store.url => return Ok(store),
            Some(old) => bail!("{} has its old parts in {} already: they stay there", data.display(), old.url),
            None => {}
        }
        let probe = store.prefix.clone().join("jarvis");
        let written = wait(async {
            store
                .objects
                .put(&probe, Bytes::from_static(b"Old parts of a history: see the file store of its folder.\n").into())
                .await
        })?;
        written.map_err(|error| store.unreachable(&error))?;
        fs::create_dir_all(data).with_context(|| format!("{} cannot be made", data.display()))?;
        let path = data.join(PLACE);
        layout::write(&path, format!("{url}\n").as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(store)
    }

    fn at(url: &str) -> anyhow::Result<Self> {
        let parsed = Url::parse(url).ok().filter(|url| url.scheme() == "s3" && url.host_str().is_some());
        let parsed = parsed.with_context(|| format!("`{url}` is no place for old parts: write s3://BUCKET/PREFIX"))?;
        let client = ClientOptions::new().with_timeout(ANSWER).with_connect_timeout(CONNECT);
        let retry = RetryConfig { max_retries: 3, retry_timeout: PATIENCE, backoff: BackoffConfig::default() };
        // What the environment says about the client comes last.
        let mut builder = AmazonS3Builder::new().with_client_options(client).with_retry(retry).with_url(url);
        for (name, value) in std::env::vars_os() {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
            let key = name.strip_prefix("AWS_").map(|_| name.to_ascii_lowercase()).and_then(|name| name.parse().ok());
            if let Some(key) = key {
                builder = builder.with_config(key, value);
            }
        }
        let objects = builder.build().with_context(|| format!("{url} cannot be used"))?;
        let prefix = Key::parse(parsed.path().trim_matches('/')).with_context(|| format!("{url} is no path"))?;
        Ok(Store { url: parsed, objects: Arc::new(objects), prefix })
    }

    fn unreachable(&self, error: &object_store::Error) -> anyhow::Error {
        Unreachable { url: self.url.to_string(), reason: error.to_string() }.into()
    }

    /// The root that keys of its objects are below, and who reads them.
    pub(crate) fn objects(&self) -> anyhow::Result<(Url, Arc<dyn ObjectStore>)> {
        let root = format!("s3://{}", self.url.host_str().unwrap_or_default());
        Ok((Url::parse(&root)?, self.objects.clone()))
    }

    async fn send(&self, part: &Path, key: &Key) -> object_store::Result<ObjectMeta> {
        let mut upload = self.objects.put_multipart(key).await?;
        let outside = |e: std::io::Error| object_store::Error::Generic { store: "file", source: e.into() };
        let mut sent = async || {
            let mut file = File::open(part).map_err(outside)?;
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                (&mut file).take(PIECE as u64).read_to_end(&mut piece).map_err(outside)?;
                if piece.is_empty() {
                    return upload.complete().await;
                }
                upload.put_part(piece.into()).await?;
            }
        };
        if let Err(error) = sent().await {
            // What was sent would be kept, and paid for.
            let aborted = upload.abort().await;
            aborted.unwrap_or_else(|error| tracing::warn!(%error, "an upload could not be ended"));
            return Err(error);
        }
        self.objects.head(key).await
    }

    /// Puts a part into the store, and leaves a note; `None`: it has gone into another meanwhile.
    fn take(&self, data: &Path, part: &Path) -> anyhow::Result<Option<u64>> {
        let below = part.strip_prefix(data).with_context(|| format!("{} is somewhere else", part.display()))?;
        let key = below.iter().fold(self.prefix.clone(), |key, name| key.join(name.to_string_lossy().as_ref()));
        let file = File::open(part)?;
        let schema = ParquetRecordBatchReaderBuilder::try_new(file)?.schema().clone();
        let bytes = fs::metadata(part)?.len();
        let sent = wait(self.send(part, &key))?;
        let there = sent.map_err(|error| self.unreachable(&error))?;
        if there.size != bytes {
            bail!("{} has taken {} bytes of {bytes}: {}", self.url, there.size, part.display());
        }
        let mut columns = StreamWriter::try_new(vec![], &schema)?;
        columns.finish()?;
        let columns = BASE64_STANDARD.encode(columns.into_inner()?);
        let note = Note { key: key.to_string(), bytes, columns };
        let _lock = layout::lock(data)?;
        if !part.exists() {
            wait(async { self.objects.delete(&key).await })?.map_err(|error| self.unreachable(&error))?;
            return Ok(None);
        }
        layout::write(&cold(part), &serde_json::to_vec(&note)?)?;
        fs::remove_file(part)?;
        Ok(Some(bytes))
    }
}

/// What was put into the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloaded {
    pub files: usize,
    pub bytes: u64,
}

/// Puts all parts that have no row at `before` (µs) or later into the store of the data folder.
///
/// # Errors
/// The folder has no store, or it cannot be reached. What was put there until then is.
pub fn offload(data: &Path, before: u64) -> anyhow::Result<Offloaded> {
    let store = Store::of(data)?.with_context(|| format!("{} has no store for old parts", data.display()))?;
    let mut offloaded = Offloaded::default();
    let until = InputArchive::new(data).until()?;
    for folder in layout::all_folders(data)? {
        for part in layout::parts(&folder)? {
            // What entered later does not count yet.
            let last = if folder.starts_with(layout::inputs(data)) { before.min(until) } else { before };
            if is_cold(&part) || layout::upper(&part).is_none_or(|upper| upper > last) {
                continue;
            }
            let taken = store.take(data, &part).with_context(|| format!("{} stays where it is", part.display()))?;
            offloaded.files += usize::from(taken.is_some());
            offloaded.bytes += taken.unwrap_or(0);
        }
    }
    Ok(offloaded)
}

/// The name of the note about a part.
fn cold(part: &Path) -> PathBuf {
    let mut name = part.as_os_str().to_owned();
    name.push(layout::COLD_END);
    name.into()
}

/// Whether this is a note about a part that is in the store.
pub(crate) fn is_cold(part: &Path) -> bool {
    part.to_string_lossy().ends_with(layout::COLD_END)
}

impl Note {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }
    pub fn key(&self) -> &str {
        &self.key
    }
    /// The columns of the part.
    pub fn schema(&self) -> anyhow::Result<SchemaRef> {
        Ok(StreamReader::try_new(BASE64_STANDARD.decode(&self.columns)?.as_slice(), None)?.schema())
    }
}

/// How many bytes a part has, here or in the store.
pub(crate) fn size(part: &Path) -> anyhow::Result<u64> {
    if is_cold(part) { Ok(Note::read(part)?.bytes) } else { Ok(fs::metadata(part)?.len()) }
}

/// The columns of a part, here or in the store.
pub(crate) fn schema(part: &Path) -> anyhow::Result<SchemaRef> {
    if is_cold(part) {
        return Note::read(part)?.schema();
    }
    Ok(ParquetRecordBatchReaderBuilder::try_new(File::open(part)?)?.schema().clone())
}

/// Removes a part, here or in the store. What a store that cannot be reached still has of it, nobody knows of any more.
pub(crate) fn remove(data: &Path, part: &Path) -> anyhow::Result<()> {
    let note = is_cold(part).then(|| Note::read(part)).transpose()?;
    fs::remove_file(part).with_context(|| format!("{} cannot be removed", part.display()))?;
    if let (Some(note), Some(store)) = (note, Store::of(data)?) {
        let removed = wait(async { store.objects.delete(&Key::from(note.key.as_str())).await })?;
        if let Err(error) = removed {
            tracing::warn!(key = note.key, %error, "an old part is left in the store");
        }
    }
    Ok(())
}

/// The bytes of a part, here or in the store.
pub(crate) fn open(data: &Path, part: &Path) -> anyhow::Result<Opened> {
    if !is_cold(part) {
        return Ok(Opened::File(File::open(part)?));
    }
    let store = Store::of(data)?.with_context(|| format!("{} does not say where its old parts are", data.display()))?;
    let note = Note::read(part)?;
    let fetched = wait(async { store.objects.get(&Key::from(note.key.as_str())).await?.bytes().await })?;
    Ok(Opened::Fetched(fetched.map_err(|error| store.unreachable(&error))?))
}

/// Copies a part, here or in the store, to a file.
pub(crate) fn copy(data: &Path, part: &Path, to: &Path) -> anyhow::Result<()> {
    match open(data, part)? {
        Opened::File(_) => layout::copy(part, to)?,
        Opened::Fetched(bytes) => layout::write(to, &bytes)?,
    }
    Ok(())
}

/// A part that can be read.
pub(crate) enum Opened {
    File(File),
    Fetched(Bytes),
}

impl Length for Opened {
    fn len(&self) -> u64 {
        match self {
            Opened::File(file) => Length::len(file),
            Opened::Fetched(bytes) => bytes.len() as u64,
        }
    }
}

impl ChunkReader for Opened {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        match self {
            Opened::File(file) => {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(start))?;
                Ok(Box::new(BufReader::new(file)))
            }
            Opened::Fetched(bytes) => Ok(Box::new(bytes.get_read(start)?)),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            Opened::File(file) => file.get_bytes(start, length),
            Opened::Fetched(bytes) => bytes.get_bytes(start, length),
        }
    }
}

/// Waits for the store, wherever it is asked from: a thread of its own has a runtime of its own.
fn wait<T: Send>(asked: impl Future<Output = T> + Send) -> anyhow::Result<T> {
    let run = || -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(asked))
    };
    std::thread::scope(|threads| threads.spawn(run).join())
        .unwrap_or_else(|_| Err(anyhow!("asking the store has panicked")))
}
