//! Zones as they are written: camera, zone, corners.

use super::polygon::Polygon;
use jarvis_spec::node::Entry;
use jarvis_spec::{Diagnostic, Diagnostics, Node};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The zones that each camera sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zones(BTreeMap<String, Vec<(Arc<str>, Polygon)>>);

impl Zones {
    /// # Errors
    /// Everything that is written wrongly, each at its place.
    pub fn read(cameras: &[Entry]) -> Result<Self, Diagnostics> {
        let (mut zones, mut found) = (BTreeMap::new(), Diagnostics::default());
        for camera in cameras {
            if !camera.value.is_mapping() && !camera.value.is_null() {
                let message =
                    format!("a camera's zones are a mapping from their names, not {}", camera.value.describe());
                found.push(wrong("wrong_type", message, &camera.value));
                continue;
            }
            let areas = camera.value.entries().iter();
            let areas =
                areas.filter_map(|zone| Some((Arc::from(zone.key.value.as_str()), found.keep(polygon(&zone.value))?)));
            zones.insert(camera.key.value.clone(), areas.collect());
        }
        if found.has_errors() { Err(found) } else { Ok(Zones(zones)) }
    }

    /// What a camera sees; nothing, if it is not named.
    pub fn of(&self, camera: &str) -> &[(Arc<str>, Polygon)] {
        self.0.get(camera).map_or(&[], Vec::as_slice)
    }

    /// How many cameras see a zone.
    pub fn cameras(&self, zone: &str) -> usize {
        self.0.values().flatten().filter(|(name, _)| **name == *zone).count()
    }
}

fn wrong(code: &'static str, message: String, node: &Node) -> Diagnostic {
    Diagnostic::error(code, message)
        .at(node.span())
        .help("write `camera: { zone: [[0.1, 0.6], [0.5, 0.6], [0.5, 1.0]] }`: corners from the upper left, 0 to 1")
}

fn polygon(node: &Node) -> Result<Polygon, Diagnostic> {
    if !node.is_sequence() {
        return Err(wrong("wrong_type", format!("a zone is a list of corners, not {}", node.describe()), node));
    }
    let corners: Result<Vec<[f64; 2]>, Diagnostic> = node.items().iter().map(corner).collect();
    Polygon::new(corners?).map_err(|error| {
        let place = error.corner().and_then(|number| node.items().get(number)).unwrap_or(node);
        wrong("wrong_value", error.to_string(), place)
    })
}

fn corner(node: &Node) -> Result<[f64; 2], Diagnostic> {
    match node.items() {
        [x, y] => match (x.as_f64(), y.as_f64()) {
            (Some(x), Some(y)) => Ok([x, y]),
            _ => Err(wrong("wrong_type", "a corner is two numbers".to_owned(), node)),
        },
        _ => Err(wrong("wrong_type", format!("a corner is two numbers, not {}", node.describe()), node)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jarvis_spec::SourceText;

    fn read(yaml: &str) -> Result<Zones, String> {
        let node = Node::read(&SourceText::new("z.yaml", yaml), &|_| None).map_err(|found| found.to_string())?;
        Zones::read(node.entries()).map_err(|found| found.to_string())
    }

    #[test]
    fn a_zone_may_be_seen_by_several_cameras() {
        let zones = read(
            "a: { cell: [[0, 0], [1, 0], [1, 1]], hall: [[0, 0], [0.5, 0], [0, 1]] }\nb: { cell: [[0, 0], [1, 0], [1, 1]] }\nc:\n",
        );
        let zones = zones.expect("they are written well");
        assert_eq!((zones.cameras("cell"), zones.cameras("hall"), zones.cameras("store")), (2, 1, 0));
        assert_eq!((zones.of("a").len(), zones.of("c").len(), zones.of("d").len()), (2, 0, 0));
    }

    #[test]
    fn every_mistake_is_told_where_it_is() {
        let said = read("a: { cell: [[0, 0], [1, 0], [1, 1.5]] }\nb: [1]\nc: { d: [[0, 0], [1]] }\n").err();
        let said = said.unwrap_or_default();
        for words in ["z.yaml:1:29", "outside of the picture", "z.yaml:2", "mapping", "z.yaml:3", "two numbers"] {
            assert!(said.contains(words), "{words:?} is not in:\n{said}");
        }
    }
}
