//! What looks at frames: a network whose features a judge judges, or a detector of boxes.

use super::judges::Learnt;
use anyhow::Context;
use arrow::array::{ArrayRef, Float64Array, ListArray, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use image::RgbImage;
use jarvis_models::vision::{Detected, Detection, Detector, Extractor, MODEL, failure_score};
use jarvis_models::{Catalog, Model, Options, Store, picture, runtime, store};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long after it could not be opened it is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// How often is looked whether a file has changed.
const LOOK: Duration = Duration::from_secs(2);

/// Which eyes are meant.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Which {
    /// The network that judges were learnt on.
    Judged,
    /// A detector of the catalog.
    Shipped(String),
    /// A detector in a user's files: its description (YAML), or the model alone (ONNX).
    Described(PathBuf),
}

/// A detector, and what is wanted of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub which: Which,
    /// The classes that are looked for; those that the detector looks for itself if there are none.
    pub classes: Vec<String>,
    /// What scores lower is not told.
    pub threshold: Option<f64>,
    pub options: Options,
}

impl Wanted {
    fn narrow(&self, description: &mut Detection) {
        if !self.classes.is_empty() {
            description.only.clone_from(&self.classes);
        }
        description.threshold = self.threshold.or(description.threshold);
    }
}

/// Ready to look.
pub(super) enum Eyes {
    Network(Extractor),
    Boxes { detector: Box<Detector>, name: String },
}

/// A frame, and who judges it if it is to be judged.
pub(super) struct Glimpse {
    pub picture: RgbImage,
    pub learnt: Option<Arc<Learnt>>,
}

/// The members of a box.
fn box_fields() -> Fields {
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let texts = [Field::new("class", DataType::Utf8, true)];
    texts.into_iter().chain(["score", "left", "top", "width", "height"].map(number)).collect()
}

/// The columns that answers add: boxes only where a detector is asked.
pub(super) fn columns(which: &Which) -> Vec<Field> {
    let mut columns = vec![Field::new("score", DataType::Float64, false), Field::new("judge", DataType::Utf8, false)];
    if *which != Which::Judged {
        let of_boxes = Field::new_list_field(DataType::Struct(box_fields()), true);
        columns.push(Field::new("boxes", DataType::List(Arc::new(of_boxes)), false));
    }
    columns
}

impl Eyes {
    fn open(wanted: &Wanted) -> anyhow::Result<Self> {
        let (catalog, store) = (Catalog::shipped()?, Store::of_user()?);
        let (detector, name) = match &wanted.which {
            Which::Judged => {
                let network = Model::open(&catalog, &store, MODEL, wanted.options)?;
                return Ok(Eyes::Network(Extractor::new(network)));
            }
            Which::Shipped(name) => {
                let mut catalog = catalog;
                let described = catalog.models.get_mut(name).and_then(|entry| entry.detection.as_mut());
                described.into_iter().for_each(|described| wanted.narrow(described));
                let detector = Detector::open_catalog(name, &catalog, &store, wanted.options)?;
                (detector, store::sha256_of(&store.path(name, catalog.get(name)?))?)
            }
            Which::Described(path) => {
                let mut description = described(path)?;
                wanted.narrow(&mut description);
                let library = runtime::library(&catalog, &store)?;
                let detector = Detector::open(&description, &library, wanted.options)?;
                let mut hash = Sha256::new();
                hash.update(store::sha256_of(path)?);
                for file in description.files() {
                    hash.update(store::sha256_of(file)?);
                }
                (detector, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
            }
        };
        Ok(Eyes::Boxes { detector: Box::new(detector), name: name.chars().take(16).collect() })
    }

    /// A frame as it is looked at: judges see it as small as they learnt from it, detectors as it came.
    ///
    /// # Errors
    /// It is no picture.
    pub fn picture(&self, jpeg: &[u8]) -> anyhow::Result<RgbImage> {
        match self {
            Eyes::Network(_) => picture::useful(jpeg),
            Eyes::Boxes { .. } => picture::decode(jpeg),
        }
    }

    /// The columns that the answers add, for each frame. They are looked at together.
    ///
    /// # Errors
    /// The model fails.
    pub fn see(&self, glimpses: Vec<Glimpse>) -> anyhow::Result<Vec<Vec<ArrayRef>>> {
        let (pictures, learnt): (Vec<_>, Vec<_>) = glimpses.into_iter().map(|g| (g.picture, g.learnt)).unzip();
        match self {
            Eyes::Network(extractor) => {
                let features = extractor.features(&pictures)?;
                let judged = features.iter().zip(learnt).map(|(features, learnt)| {
                    let learnt = learnt.context("nobody judges the frame")?;
                    Ok(scored(learnt.judge.score(features), &learnt.name))
                });
                judged.collect()
            }
            Eyes::Boxes { detector, name } => {
                let answer = |found: Vec<Detected>| {
                    let mut columns = scored(failure_score(&found), name);
                    columns.push(Arc::new(boxes(&found)?));
                    Ok(columns)
                };
                detector.detect_all(&pictures)?.into_iter().map(answer).collect()
            }
        }
    }
}

fn scored(score: f64, judge: &str) -> Vec<ArrayRef> {
    vec![Arc::new(Float64Array::from(vec![score])), Arc::new(StringArray::from(vec![judge]))]
}

/// One list of boxes.
fn boxes(found: &[Detected]) -> anyhow::Result<ListArray> {
    let number =
        |of: fn(&Detected) -> f64| -> ArrayRef { Arc::new(Float64Array::from_iter_values(found.iter().map(of))) };
    let class: ArrayRef = Arc::new(StringArray::from_iter_values(found.iter().map(|one| &one.class)));
    let members = vec![
        class,
        number(|one| one.score),
        number(|one| one.left),
        number(|one| one.top),
        number(|one| one.width),
        number(|one| one.height),
    ];
    let all = StructArray::try_new_with_length(box_fields(), members, None, found.len())?;
    let of_boxes = Field::new_list_field(DataType::Struct(box_fields()), true);
    Ok(ListArray::try_new(Arc::new(of_boxes), OffsetBuffer::from_lengths([found.len()]), Arc::new(all), None)?)
}

/// The description in a file; of a model alone, one that leaves everything to it.
fn described(path: &Path) -> anyhow::Result<Detection> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx")) {
        return Ok(Detection::of(path));
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("there is no detector at {}", path.display()))?;
    let description = Detection::of_yaml(&text).with_context(|| format!("{} cannot be used", path.display()))?;
    Ok(description.below(path.parent().unwrap_or(Path::new(""))))
}

/// Eyes that are opened when they are first needed, and again when their file has changed.
pub(super) struct Lids {
    wanted: Wanted,
    open: Option<Arc<Eyes>>,
    tried: Option<Instant>,
    told: String,
    looked: Instant,
    changed: Vec<Option<SystemTime>>,
}

impl Lids {
    pub fn new(wanted: Wanted) -> Self {
        Lids { wanted, open: None, tried: None, told: String::new(), looked: Instant::now(), changed: vec![] }
    }

    /// `Ok(None)`: they cannot be opened, which has been said.
    ///
    /// # Errors
    /// They cannot be opened, for a reason that was not said before.
    pub fn open(&mut self) -> anyhow::Result<Option<Arc<Eyes>>> {
        if self.has_changed() {
            (self.open, self.tried) = (None, None);
        }
        if self.open.is_some() || self.tried.is_some_and(|tried| tried.elapsed() < AGAIN) {
            return Ok(self.open.clone());
        }
        self.tried = Some(Instant::now());
        self.changed = self.marks();
        match Eyes::open(&self.wanted) {
            Ok(eyes) => {
                self.open = Some(Arc::new(eyes));
                self.told.clear();
            }
            Err(error) => {
                let told = std::mem::replace(&mut self.told, format!("{error:#}"));
                if told != self.told {
                    return Err(error);
                }
            }
        }
        Ok(self.open.clone())
    }

    fn has_changed(&mut self) -> bool {
        if self.tried.is_none() || self.looked.elapsed() < LOOK {
            return false;
        }
        self.looked = Instant::now();
        self.marks() != self.changed
    }

    /// When the files of a user's detector were written.
    fn marks(&self) -> Vec<Option<SystemTime>> {
        let Which::Described(path) = &self.wanted.which else { return vec![] };
        let written = |path: &Path| path.metadata().and_then(|about| about.modified()).ok();
        let description = described(path).ok();
        let files = description.iter().flat_map(|description| description.files().map(written));
        std::iter::once(written(path)).chain(files).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float64Type;

    fn found(class: &str, score: f64) -> Detected {
        Detected { class: class.to_owned(), score, left: 0.1, top: 0.2, width: 0.3, height: 0.4 }
    }

    #[test]
    fn boxes_become_one_list_of_the_type_that_is_declared() {
        let [.., declared] = &columns(&Which::Shipped("d".to_owned()))[..] else { panic!("there are columns") };
        for all in [vec![], vec![found("person", 0.5)], vec![found("person", 0.5), found("cat", 0.4)]] {
            let list = boxes(&all).unwrap();
            assert_eq!(list.data_type(), declared.data_type());
            let members = list.value(0);
            let members = members.as_struct();
            assert_eq!(members.len(), all.len());
            let scores = members.column_by_name("score").unwrap().as_primitive::<Float64Type>();
            assert!(scores.values().iter().eq(all.iter().map(|one| &one.score)));
        }
    }

    #[test]
    fn a_detector_that_is_not_there_is_told_once_and_tried_again_when_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("detector.yaml");
        let wanted = Wanted {
            which: Which::Described(path.clone()),
            classes: vec![],
            threshold: None,
            options: Options::default(),
        };
        let mut lids = Lids::new(wanted);
        let told = lids.open().err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(told.contains("there is no detector at") && told.contains("detector.yaml"), "{told}");
        assert!(matches!(lids.open(), Ok(None)));
        std::fs::write(&path, "model: 7 of 9: {").unwrap();
        lids.looked = lids.looked.checked_sub(LOOK).unwrap();
        let told = lids.open().err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(told.contains("cannot be used"), "{told}");
    }
}
