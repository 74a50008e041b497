//! The language of Graphviz.

use super::{Picture, Role};
use std::fmt::Write;

/// Draws a picture in the language of Graphviz.
pub fn dot(picture: &Picture) -> String {
    let mut text = String::from("digraph jarvis {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n");
    // Writing to a String does not fail.
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").unwrap_or(());
    for (g, (group, members)) in picture.groups().into_iter().enumerate() {
        line(format_args!("  subgraph cluster_{g} {{\n    label=\"{}\";", escaped(group)));
        for i in members {
            let shape = &picture.shapes[i];
            let form = match shape.role {
                Role::Source => "shape=cds",
                Role::View => "shape=box",
                Role::Sink => "shape=box, peripheries=2",
                Role::Step => "shape=box, style=rounded",
            };
            line(format_args!("    n{i} [label=\"{}\\n{}\", {form}];", escaped(&shape.title), escaped(&shape.note)));
        }
        line(format_args!("  }}"));
    }
    for (from, to) in &picture.arrows {
        line(format_args!("  n{from} -> n{to};"));
    }
    text + "}\n"
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_are_escaped_and_arrows_drawn() {
        let text = super::dot(&super::super::example());
        assert!(text.contains("n0 [label=\"a.in\\na <note> & \\\"more\\\"\", shape=cds];"), "{text}");
        assert!(text.contains("  n1 -> n2;\n"), "{text}");
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
}
