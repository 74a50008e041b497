//! The file that is written, and errors that name it.

use anyhow::{Context, anyhow, bail};
use arrow::datatypes::SchemaRef;
use jarvis_lineage::encode::{EncodeError, Encoder, Format};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A path and the format in which it is written.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    format: Format,
}

/// A file that is being written.
pub(super) struct Output {
    place: Place,
    encoder: Encoder<File>,
    /// What is written first and takes the name at the end; `None` = the file itself is written.
    unfinished: Option<Unfinished>,
}

/// A file that is written aside; it goes away if it is not finished.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is not there any more if it was finished; and what stays is overwritten by the next run.
        let _ = fs::remove_file(&self.0);
    }
}

impl Place {
    pub fn new(path: PathBuf, format: Format) -> Self {
        Self { path, format }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Begins a new file. Nobody sees it before [`Output::finish`], which puts it in place of the old one in one step.
    pub fn replace(&self, schema: &SchemaRef) -> anyhow::Result<Output> {
        self.check()?;
        if self.is_special() {
            return self.overwrite(schema);
        }
        let unfinished = self.unfinished();
        let file = File::create(&unfinished).with_context(|| self.refused("made"))?;
        self.output(Some(Unfinished(unfinished)), Encoder::new(self.format, schema, file))
    }

    /// Begins a new file that can be read while it grows; Parquet cannot be, so it appears at the end.
    pub fn overwrite(&self, schema: &SchemaRef) -> anyhow::Result<Output> {
        self.check()?;
        if self.format == Format::Parquet && !self.is_special() {
            return self.replace(schema);
        }
        let file = File::create(&self.path).with_context(|| self.refused("made"))?;
        self.output(None, Encoder::new(self.format, schema, file))
    }

    /// Goes on where the file ends. Parquet is copied first.
    pub fn append(&self, schema: &SchemaRef) -> anyhow::Result<Output> {
        self.check()?;
        if self.format == Format::Parquet {
            let mut output = self.replace(schema)?;
            self.copy_into(&mut output, schema)?;
            return Ok(output);
        }
        let open = OpenOptions::new().read(true).append(true).create(true).open(&self.path);
        let mut file = open.with_context(|| self.refused("opened"))?;
        let begun = self.begun(&mut file, schema).with_context(|| self.refused("read"))?;
        let encoder = match begun {
            true => Encoder::appending(self.format, schema, file),
            false => Encoder::new(self.format, schema, file),
        };
        self.output(None, encoder)
    }

    /// Whether rows can be added as they are: to an empty file a header must come first. A last line that was cut off
    /// is ended.
    fn begun(&self, file: &mut File, schema: &SchemaRef) -> anyhow::Result<bool> {
        if self.is_special() || file.metadata()?.len() == 0 {
            return Ok(false);
        }
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
        if self.format == Format::Csv {
            let mut found = Vec::new();
            file.seek(SeekFrom::Start(0))?;
            BufReader::new(&*file).read_until(b'\n', &mut found)?;
            let wanted = Encoder::new(self.format, schema, Vec::new())?.finish()?;
            if found != wanted {
                let (found, wanted) = (String::from_utf8_lossy(&found), String::from_utf8_lossy(&wanted));
                bail!("its columns are {} and the sink's are {}: move it away", found.trim_end(), wanted.trim_end());
            }
        }
        Ok(true)
    }

    fn copy_into(&self, output: &mut Output, schema: &SchemaRef) -> anyhow::Result<()> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file.with_context(|| self.refused("read"))?,
        };
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).with_context(|| self.refused("read"))?;
        if reader.schema().fields() != schema.fields() {
            bail!("{} has other columns than the sink: move it away", self.path.display());
        }
        for batch in reader.build().with_context(|| self.refused("read"))? {
            output.write(&batch.with_context(|| self.refused("read"))?)?;
        }
        Ok(())
    }

    fn output(
        &self,
        unfinished: Option<Unfinished>,
        encoder: Result<Encoder<File>, EncodeError>,
    ) -> anyhow::Result<Output> {
        let encoder = encoder.with_context(|| self.refused("written"))?;
        Ok(Output { place: self.clone(), encoder, unfinished })
    }

    fn check(&self) -> anyhow::Result<()> {
        let folder = self.folder();
        if !folder.is_dir() {
            bail!("{} cannot be written: there is no folder {}; make it first", self.path.display(), folder.display());
        }
        if self.path.is_dir() {
            bail!("{} cannot be written: it is a folder", self.path.display());
        }
        Ok(())
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// A device or a pipe, which nothing can take the place of.
    fn is_special(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| !found.is_file())
    }

    fn unfinished(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!(".{name}.unfinished"))
    }

    fn refused(&self, what: &str) -> String {
        format!("{} cannot be {what}", self.path.display())
    }
}

impl Output {
    pub fn write(&mut self, rows: &arrow::record_batch::RecordBatch) -> anyhow::Result<()> {
        self.encoder.write(rows).with_context(|| self.place.refused("written"))
    }

    /// Adds a JSON line.
    pub fn line(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> anyhow::Result<()> {
        match &mut self.encoder {
            Encoder::JsonLines { lines, .. } => lines.line(fill).with_context(|| self.place.refused("written")),
            _ => Err(anyhow!("only JSON has lines of its own")),
        }
    }

    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.encoder.flush().with_context(|| self.place.refused("written"))
    }

    /// Writes the rest and, if it was written aside, puts it in its place.
    pub fn finish(self) -> anyhow::Result<()> {
        self.encoder.finish().with_context(|| self.place.refused("written"))?;
        match &self.unfinished {
            Some(Unfinished(path)) => {
                fs::rename(path, &self.place.path).with_context(|| self.place.refused("replaced"))
            }
            None => Ok(()),
        }
    }
}
