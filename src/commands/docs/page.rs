//! The options of one kind as a page, from their JSON schema.

use serde_json::{Map, Value};

/// A page about a kind.
pub fn kind(section: &str, kind: &str, options: &Value) -> String {
    let mut text = format!("# {section} `{kind}`\n\n{}\n", description(options));
    if options.get("properties").is_some() {
        text += "\n";
        text += &table(options, options);
    } else {
        text += &format!("\nIts value is a {}.\n", of(options, options));
    }
    let definitions = options.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, definition) in definitions.iter().filter(|(_, definition)| is_own_section(definition)) {
        text += &format!("\n## {}\n\n{}\n\n", words(name), description(definition));
        text += &match choices(definition) {
            Some(choices) => choices,
            None => table(definition, options),
        };
    }
    text
}

/// What the page says first.
pub fn first_sentence(schema: &Value) -> String {
    let text = description(schema);
    let text = text.split("\n\n").next().unwrap_or_default();
    let end = text.find(". ").map_or(text.len(), |at| at + 1);
    text[..end].to_owned()
}

/// Options inside options, or choices that need words.
fn is_own_section(definition: &Value) -> bool {
    definition.get("properties").is_some() || choices(definition).is_some()
}

/// The lines of a doc comment flow together, but for those of lists and tables.
fn description(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut flowing = String::new();
    for line in text.lines().map(str::trim) {
        let starts_anew = line.is_empty() || line.starts_with(['*', '-', '|']);
        match flowing.chars().last() {
            None => {}
            Some('\n') if !line.is_empty() => {}
            _ if starts_anew => flowing.push('\n'),
            _ => flowing.push(' '),
        }
        flowing.push_str(line);
        if line.is_empty() {
            flowing.push('\n');
        }
    }
    flowing.trim().to_owned()
}

fn table(schema: &Value, root: &Value) -> String {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required = |name: &str| {
        schema.get("required").and_then(Value::as_array).is_some_and(|list| list.iter().any(|n| n == name))
    };
    let mut text = "| Option | Value | Default | |\n|---|---|---|---|\n".to_owned();
    for (name, option) in properties {
        let default = match option.get("default") {
            _ if required(name) => "must be given".to_owned(),
            None | Some(Value::Null) => String::new(),
            Some(value) => format!("`{value}`"),
        };
        let about = match description(option) {
            own if !own.is_empty() => own,
            _ => resolved(option, root).map(description).unwrap_or_default(),
        };
        text += &format!(
            "| `{name}` | {} | {default} | {} |\n",
            cell(&of(option, root)),
            cell(&about.split_whitespace().collect::<Vec<_>>().join(" "))
        );
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The schema that a `$ref` leads to.
fn resolved<'a>(schema: &Value, root: &'a Value) -> Option<&'a Value> {
    let parts = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let reference = std::iter::once(schema).chain(parts).find_map(|part| part.get("$ref")?.as_str())?;
    root.pointer(reference.strip_prefix('#')?)
}

/// What a value may be, in words.
fn of(schema: &Value, root: &Value) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        return match resolved(schema, root) {
            Some(definition) if definition.get("properties").is_some() => {
                format!("[{}](#{})", words(name), anchor(name))
            }
            Some(definition) => of(definition, root),
            None => name.to_owned(),
        };
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(list) = schema.get(key).and_then(Value::as_array) {
            let parts = list.iter().filter(|part| part.get("type").is_none_or(|t| t != "null"));
            return joined(parts.map(|part| of(part, root)));
        }
    }
    if let Some(list) = schema.get("enum").and_then(Value::as_array) {
        return joined(list.iter().filter(|value| !value.is_null()).map(|value| format!("`{}`", plain(value))));
    }
    if let Some(value) = schema.get("const") {
        return format!("`{}`", plain(value));
    }
    match schema.get("type") {
        Some(Value::String(name)) => typed(name, schema, root),
        Some(Value::Array(names)) => joined(
            names.iter().filter_map(Value::as_str).filter(|name| *name != "null").map(|name| typed(name, schema, root)),
        ),
        _ => "anything".to_owned(),
    }
}

fn typed(name: &str, schema: &Value, root: &Value) -> String {
    match name {
        "string" => "text".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "integer" => "whole number".to_owned(),
        "object" => "mapping".to_owned(),
        "array" => {
            format!("list of {}", schema.get("items").map_or_else(|| "anything".to_owned(), |items| of(items, root)))
        }
        other => other.to_owned(),
    }
}

/// Different parts, each once.
fn joined(parts: impl Iterator<Item = String>) -> String {
    let mut different: Vec<String> = vec![];
    for part in parts {
        if !different.contains(&part) {
            different.push(part);
        }
    }
    different.join(" or ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The choices of an enum whose variants are described.
fn choices(definition: &Value) -> Option<String> {
    let list = definition.get("oneOf")?.as_array()?;
    let mut text = String::new();
    for choice in list.iter().filter(|choice| choice.get("description").is_some()) {
        let value = choice.get("const")?;
        text += &format!("* `{}`: {}\n", plain(value), description(choice));
    }
    (!text.is_empty()).then_some(text)
}

/// `TlsOptions` as `tls options`.
fn words(name: &str) -> String {
    let mut text = String::new();
    for (i, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && i > 0 {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

fn anchor(name: &str) -> String {
    words(name).replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_are_a_table() {
        let schema = json!({
            "description": "Reads.\nFiles. And more.",
            "properties": {
                "path": { "type": "string", "description": "Where a|b." },
                "tls": { "anyOf": [{ "$ref": "#/$defs/TlsOptions" }, { "type": "null" }] },
                "qos": { "type": ["integer", "null"], "default": 1 },
            },
            "required": ["path"],
            "$defs": { "TlsOptions": { "description": "How safe.", "properties": { "ca": { "type": "string" } } } },
        });
        let expected = "\
# source `file`

Reads. Files. And more.

| Option | Value | Default | |
|---|---|---|---|
| `path` | text | must be given | Where a\\|b. |
| `tls` | [tls options](#tls-options) |  | How safe. |
| `qos` | whole number | `1` |  |

## tls options

How safe.

| Option | Value | Default | |
|---|---|---|---|
| `ca` | text |  |  |
";
        assert_eq!(kind("source", "file", &schema), expected);
        assert_eq!(first_sentence(&schema), "Reads.");
    }

    #[test]
    fn lines_flow_and_lists_stay() {
        let schema = json!({ "description": "Tells\na view.\n\n* one\n  thing\n* another\n\nThe\nend." });
        assert_eq!(description(&schema), "Tells a view.\n\n* one thing\n* another\n\nThe end.");
    }

    #[test]
    fn choices_are_listed_with_their_words() {
        let schema = json!({
            "properties": { "as": { "$ref": "#/$defs/As" } },
            "$defs": { "As": { "oneOf": [{ "const": "events", "description": "Once." }, { "const": "state", "description": "The latest." }] } },
        });
        let text = kind("sink", "x", &schema);
        assert!(text.contains("| `as` | `events` or `state` |"), "{text}");
        assert!(text.contains("## as\n\n\n\n* `events`: Once.\n* `state`: The latest.\n"), "{text}");
    }
}
