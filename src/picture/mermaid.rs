//! Mermaid flowcharts, which Markdown pages on many sites show as a picture.

use super::{Picture, Role};
use std::fmt::Write;

/// Draws a picture as a Mermaid flowchart.
pub fn mermaid(picture: &Picture) -> String {
    let mut text = String::from("flowchart LR\n");
    // Writing to a String does not fail.
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").unwrap_or(());
    for (g, (group, members)) in picture.groups().into_iter().enumerate() {
        line(format_args!("  subgraph g{g}[\"{}\"]", escaped(group)));
        for i in members {
            let shape = &picture.shapes[i];
            let (open, close) = match shape.role {
                Role::Source => ("([", "])"),
                Role::View => ("[", "]"),
                Role::Sink => ("[[", "]]"),
                Role::Step => ("(", ")"),
            };
            line(format_args!("    n{i}{open}\"{}<br/>{}\"{close}", escaped(&shape.title), escaped(&shape.note)));
        }
        line(format_args!("  end"));
    }
    for (from, to) in &picture.arrows {
        line(format_args!("  n{from} --> n{to}"));
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn boxes_stand_in_their_groups() {
        let expected = "\
flowchart LR
  subgraph g0[\"a\"]
    n0([\"a.in<br/>a &lt;note&gt; &amp; &quot;more&quot;\"])
    n1[\"a.view<br/>a &lt;note&gt; &amp; &quot;more&quot;\"]
  end
  subgraph g1[\"b\"]
    n2[[\"b.out<br/>a &lt;note&gt; &amp; &quot;more&quot;\"]]
  end
  n0 --> n1
  n1 --> n2
  n0 --> n2
";
        assert_eq!(super::mermaid(&super::super::example()), expected);
    }
}
