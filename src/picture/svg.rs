//! SVG that any browser shows, on light and on dark pages.

use super::layers::lay_out;
use super::{Picture, Role, Shape};
use std::fmt::Write;

const HEIGHT: f64 = 46.0;
const MARGIN: f64 = 16.0;
/// About the width of a letter at the size of titles, and of notes.
const TITLE_LETTER: f64 = 7.6;
const NOTE_LETTER: f64 = 6.4;
const STYLE: &str = "\
text { font-family: ui-sans-serif, system-ui, sans-serif; fill: #1f2328; text-anchor: middle; }
.title { font-size: 13px; font-weight: 600; }
.note { font-size: 11px; fill: #59636e; }
rect { stroke-width: 1.3; }
.source { fill: #ddf4ff; stroke: #0969da; }
.view { fill: #ffffff; stroke: #59636e; }
.sink { fill: #dafbe1; stroke: #1a7f37; }
.step { fill: #f6f8fa; stroke: #8c959f; }
.arrow { fill: none; stroke: #818b98; stroke-width: 1.3; }
.head { fill: #818b98; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9198a1; }
  .source { fill: #10233f; stroke: #4493f8; }
  .view { fill: #161b22; stroke: #9198a1; }
  .sink { fill: #12261e; stroke: #3fb950; }
  .step { fill: #161b22; stroke: #6e7681; }
}";

/// Draws a picture.
pub fn svg(picture: &Picture) -> String {
    let sizes: Vec<(f64, f64)> = picture.shapes.iter().map(|shape| (width(shape), HEIGHT)).collect();
    let layout = lay_out(&sizes, &picture.arrows);
    let (width, height) = (layout.width + 2.0 * MARGIN, layout.height + 2.0 * MARGIN);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"{:.0} {:.0} {width:.0} {height:.0}\" role=\"img\" aria-label=\"dataflow\">\n\
         <style>\n{STYLE}\n</style>\n\
         <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path class=\"head\" d=\"M0 0 L8 4 L0 8 z\"/></marker></defs>\n",
        -MARGIN, -MARGIN,
    );
    // Writing to a String does not fail.
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").unwrap_or(());
    for route in &layout.routes {
        line(format_args!("<path class=\"arrow\" marker-end=\"url(#head)\" d=\"{}\"/>", path(route)));
    }
    for ((shape, (width, height)), (x, y)) in picture.shapes.iter().zip(&sizes).zip(&layout.corners) {
        let (role, middle) = (shape.role.name(), x + width / 2.0);
        let round = if shape.role == Role::Source { HEIGHT / 2.0 } else { 6.0 };
        line(format_args!("<g><title>{}</title>", escaped(&columns(shape))));
        line(format_args!(
            "<rect class=\"{role}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{round}\"/>"
        ));
        line(format_args!(
            "<text class=\"title\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
            y + 20.0,
            escaped(&shape.title)
        ));
        line(format_args!(
            "<text class=\"note\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text></g>",
            y + 36.0,
            escaped(&shape.note)
        ));
    }
    text + "</svg>\n"
}

fn width(shape: &Shape) -> f64 {
    let letters = |text: &str| text.chars().count() as f64;
    (letters(&shape.title) * TITLE_LETTER).max(letters(&shape.note) * NOTE_LETTER).max(60.0) + 28.0
}

/// Shown when the pointer rests on a box.
fn columns(shape: &Shape) -> String {
    shape.columns.iter().map(|(name, of)| format!("{name}: {of}")).collect::<Vec<_>>().join("\n")
}

/// A way through points that leaves and enters each of them horizontally.
fn path(route: &[(f64, f64)]) -> String {
    let mut text = String::new();
    for (k, (x, y)) in route.iter().enumerate() {
        match k.checked_sub(1).map(|k| route[k]) {
            None => text = format!("M{x:.1} {y:.1}"),
            Some((_, above)) if (above - y).abs() < 0.05 => text.push_str(&format!(" L{x:.1} {y:.1}")),
            Some((before, above)) => {
                let middle = f64::midpoint(before, *x);
                text.push_str(&format!(" C{middle:.1} {above:.1} {middle:.1} {y:.1} {x:.1} {y:.1}"));
            }
        }
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_box_and_arrow_is_drawn_and_text_is_escaped() {
        let text = svg(&super::super::example());
        assert_eq!((text.matches("<rect").count(), text.matches("class=\"arrow\"").count()), (3, 3), "{text}");
        assert!(text.contains("a &lt;note&gt; &amp; &quot;more&quot;"), "{text}");
    }

    #[test]
    fn level_points_are_joined_straight() {
        assert_eq!(path(&[(0.0, 5.0), (10.0, 5.0), (20.0, 9.0)]), "M0.0 5.0 L10.0 5.0 C15.0 5.0 15.0 9.0 20.0 9.0");
    }
}
