//! Which judge judges which frame, and whether it has been learnt anew.

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::util::display::array_value_to_string;
use jarvis_models::vision::Judge;
use jarvis_runtime::kinds::PlanContext;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How often is looked whether a file has changed.
const LOOK: Duration = Duration::from_secs(2);

/// A path in which `{column}` stands for the value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JudgePath {
    folder: PathBuf,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Column(usize),
}

impl JudgePath {
    /// # Errors
    /// The name of a column that the stream does not have, and those that it has.
    pub fn parse(text: &str, schema: &Schema, context: &PlanContext) -> Result<Self, (String, Vec<String>)> {
        let (mut parts, mut rest) = (vec![], text);
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else { break };
            let Ok(column) = schema.index_of(name) else {
                let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
                return Err((name.to_owned(), columns));
            };
            parts.extend([Part::Text(before.to_owned()), Part::Column(column)]);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(JudgePath { folder: context.folder.clone(), parts })
    }

    /// The file for the row of a question. A value can only be one name in the path: nothing leads out of the folder.
    pub fn file(&self, row: &RecordBatch) -> PathBuf {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Column(column) => {
                let value = array_value_to_string(row.column(*column), 0).unwrap_or_default();
                value.chars().map(|c| if c.is_alphanumeric() || "-_ ".contains(c) { c } else { '_' }).collect()
            }
        };
        self.folder.join(self.parts.iter().map(part).collect::<String>())
    }
}

/// A judge, and what it is called in answers.
pub(super) struct Learnt {
    pub judge: Judge,
    /// The first digits of the hash of its file.
    pub name: String,
}

/// Judges by their files.
#[derive(Default)]
pub(super) struct Judges(HashMap<PathBuf, Kept>);

struct Kept {
    learnt: Option<Arc<Learnt>>,
    looked: Instant,
    changed: Option<SystemTime>,
}

impl Judges {
    /// The judge in a file; `Ok(None)`: there is none that can be used, which has been said before.
    ///
    /// # Errors
    /// There is none that can be used, and this is the first to know.
    pub fn get(&mut self, file: &Path) -> anyhow::Result<Option<Arc<Learnt>>> {
        if let Some(kept) = self.0.get_mut(file) {
            if kept.looked.elapsed() < LOOK {
                return Ok(kept.learnt.clone());
            }
            kept.looked = Instant::now();
            if changed(file) == kept.changed {
                return Ok(kept.learnt.clone());
            }
        }
        let changed = changed(file);
        let read = read(file);
        let learnt = read.as_ref().ok().cloned();
        self.0.insert(file.to_owned(), Kept { learnt, looked: Instant::now(), changed });
        read.map(Some)
    }
}

fn changed(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|about| about.modified()).ok()
}

fn read(file: &Path) -> anyhow::Result<Arc<Learnt>> {
    let text = std::fs::read_to_string(file).with_context(|| {
        format!(
            "there is no judge at {}: show it some pictures with `jarvis vision learn --good DIR --bad DIR --out FILE`",
            file.display()
        )
    })?;
    let judge = Judge::of_json(&text).with_context(|| format!("{} cannot be used", file.display()))?;
    let name = Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(Arc::new(Learnt { judge, name }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;
    use arrow::datatypes::{DataType, Field};

    fn schema() -> Schema {
        Schema::new(vec![Field::new("camera", DataType::Utf8, false)])
    }

    fn context() -> PlanContext {
        PlanContext { folder: "/pipelines".into(), config: None, data: None }
    }

    fn row(camera: &str) -> RecordBatch {
        RecordBatch::try_new(Arc::new(schema()), vec![Arc::new(StringArray::from(vec![camera]))]).expect("one column")
    }

    #[test]
    fn a_path_takes_values_of_columns() {
        let path = JudgePath::parse("judges/{camera}.json", &schema(), &context()).expect("the column is there");
        assert_eq!(path.file(&row("front-1")), Path::new("/pipelines/judges/front-1.json"));
    }

    #[test]
    fn no_value_leads_out_of_the_folder() {
        let path = JudgePath::parse("judges/{camera}.json", &schema(), &context()).expect("the column is there");
        assert_eq!(path.file(&row("../../etc/passwd")), Path::new("/pipelines/judges/______etc_passwd.json"));
    }

    #[test]
    fn an_unknown_column_is_refused() {
        let refused = JudgePath::parse("{cam}.json", &schema(), &context()).expect_err("there is no such column");
        assert_eq!(refused, ("cam".to_owned(), vec!["camera".to_owned()]));
    }

    #[test]
    fn a_missing_judge_is_told_once() {
        let mut judges = Judges::default();
        let file = Path::new("/nowhere/judge.json");
        let told = judges.get(file).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains("jarvis vision learn"), "{told}");
        assert!(matches!(judges.get(file), Ok(None)));
    }
}
