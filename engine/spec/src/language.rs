//! The JSON schema of pipeline files, for editors.

use schemars::Schema;
use serde_json::{Map, Value, json};

/// One schema (draft 2020-12) of a whole pipeline file, from the names of all kinds and the schemas of their options.
pub fn json_schema(
    sources: Vec<(String, Schema)>,
    operators: Vec<(String, Schema)>,
    sinks: Vec<(String, Schema)>,
) -> Value {
    let mut definitions = Map::new();
    let source = definition("source", source_keys(), &[], sources, &mut definitions);
    let operator = definition("operator", operator_keys(), &[], operators, &mut definitions);
    let sink = definition("sink", sink_keys(), &["from"], sinks, &mut definitions);
    let named = |section: &str, value: Value| json!({ "description": section, "type": ["object", "null"], "propertyNames": { "pattern": NAME }, "additionalProperties": value });
    let properties = json!({
        "pipeline": { "description": "The pipeline's name; in SQL it is the schema name.", "type": "string", "pattern": NAME },
        "about": { "description": "What the pipeline is for.", "type": "string" },
        "sources": named("Input streams by name.", source),
        "operators": named("Views over streams by name.", operator),
        "sinks": named("Where the changes of views go, by name.", sink),
        "tests": { "description": "What the pipeline must yield for given rows.", "type": "array", "items": test() },
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "jarvis pipeline",
        "type": "object",
        "properties": properties,
        "required": ["pipeline"],
        "additionalProperties": false,
        "$defs": definitions,
    })
}

const NAME: &str = "^[a-z][a-z0-9_]*$";
const STREAM: &str = "^([a-z][a-z0-9_]*\\.)?[a-z][a-z0-9_]*$";
const DURATION: &str = "^(0|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?)$";

fn duration(description: &str) -> Value {
    json!({ "description": description, "type": ["string", "integer"], "pattern": DURATION, "minimum": 0, "maximum": 0 })
}

fn one_or_more(description: &str, item: &Value) -> Value {
    json!({ "description": description, "anyOf": [item, { "type": "array", "items": item }] })
}

fn source_keys() -> Value {
    json!({
        "schema": {
            "description": "Columns and their types: bool, int8 to int64, uint8 to uint64, float32, float64, decimal(p,s), utf8, binary, date, timestamp, timestamp(s|ms|us|ns), interval, list(T), struct(name: T, ..), json; a trailing ? allows null.",
            "type": "object",
            "additionalProperties": { "type": "string" },
        },
        "time": { "description": "The column with the event time (default: the time of arrival).", "type": "string" },
        "lateness": duration("How far behind the clock a row's event time may be."),
        "retain": { "description": "How long a row counts: a duration, or forever (small tables only).", "anyOf": [{ "const": "forever" }, duration("")] },
        "history": { "description": "How long its rows are kept in the lineage of a run with --data: a duration, or forever (default: as the run's --history says).", "anyOf": [{ "const": "forever" }, duration("")] },
        "key": one_or_more("Columns of the upsert key: the newest row per key counts.", &json!({ "type": "string" })),
    })
}

fn operator_keys() -> Value {
    json!({
        "from": one_or_more("The streams it reads; sql names them in the query.", &json!({ "type": "string", "pattern": STREAM })),
        "retain": { "description": "How long an answer counts, of an operator that asks something outside: a duration, or forever.", "anyOf": [{ "const": "forever" }, duration("")] },
        "history": { "description": "How long its answers are kept in the lineage of a run with --data: a duration, or forever (default: as the run's --history says).", "anyOf": [{ "const": "forever" }, duration("")] },
        "on_error": { "description": "What happens to a row that cannot be computed: route it to system.errors (default), drop it, or fail.", "enum": ["route", "drop", "fail"] },
    })
}

fn sink_keys() -> Value {
    json!({
        "from": { "description": "The stream whose changes it takes.", "type": "string", "pattern": STREAM },
        "when": { "description": "closed: hold a window back until it cannot change.", "const": "closed" },
    })
}

fn test() -> Value {
    let rows = json!({ "type": ["array", "null"], "items": { "type": "object" } });
    let restart = one_or_more("Kills and restores the engine at that time.", &duration(""));
    json!({
        "type": "object",
        "properties": {
            "name": { "description": "What the test shows.", "type": "string" },
            "given": { "description": "Rows per source; at is when a row arrives.", "type": ["object", "null"], "additionalProperties": rows.clone() },
            "expect": {
                "description": "What a stream holds at a time, or what a sink was given until then.",
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "properties": { "at": duration("When the stream is looked at."), "until": duration("Up to when the sink is looked at."), "restart": restart.clone() },
                    "additionalProperties": rows,
                },
            },
            "never": {
                "description": "Patterns that no row of a stream may match at any tick.",
                "type": ["array", "null"],
                "items": { "type": "object", "additionalProperties": { "type": "object" } },
            },
            "restart": restart,
            "answers": { "description": "What operators that ask are answered, by name: one answer for every question, or a list of { to: columns of the question, answer: columns, after: 10ms } of which the first that fits counts.", "type": "object", "additionalProperties": { "type": ["object", "array"] } },
        },
        "required": ["name"],
        "additionalProperties": false,
    })
}

/// The schema of one source, operator or sink: its common keys and exactly one kind. The kinds' own schemas go to `definitions`.
fn definition(
    section: &str,
    mut properties: Value,
    required: &[&str],
    kinds: Vec<(String, Schema)>,
    definitions: &mut Map<String, Value>,
) -> Value {
    let mut one_of = Vec::with_capacity(kinds.len());
    for (kind, schema) in kinds {
        let name = format!("{section}_{kind}");
        let place = format!("#/$defs/{name}");
        properties[&kind] = json!({ "$ref": &place });
        one_of.push(json!({ "required": [kind] }));
        definitions.insert(name, embedded(schema.to_value(), &place));
    }
    let mut value =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    if !one_of.is_empty() {
        value["oneOf"] = Value::Array(one_of);
    }
    value
}

/// A schema that was a document of its own, at `place` in another: its references start there.
fn embedded(mut schema: Value, place: &str) -> Value {
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        // A kind whose options all have defaults may be left empty.
        if object.get("type").is_some_and(|t| t == "object") && !object.contains_key("required") {
            object.insert("type".to_owned(), json!(["object", "null"]));
        }
    }
    rewrite_references(&mut schema, place);
    schema
}

fn rewrite_references(value: &mut Value, place: &str) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(target) if key == "$ref" && target.starts_with('#') => {
                        *target = format!("{place}{}", &target[1..])
                    }
                    other => rewrite_references(other, place),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite_references(item, place)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Options {
        /// Where it is.
        place: Place,
        next: Option<Box<Options>>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Place {
        x: f64,
    }

    /// Every `$ref` in a value.
    fn references(value: &Value) -> Vec<String> {
        match value {
            Value::Object(object) => object
                .iter()
                .flat_map(|(key, value)| match value {
                    Value::String(target) if key == "$ref" => vec![target.clone()],
                    other => references(other),
                })
                .collect(),
            Value::Array(items) => items.iter().flat_map(references).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let kind = || vec![("mqtt".to_owned(), schemars::schema_for!(Options))];
        let schema = json_schema(kind(), kind(), kind());
        let references = references(&schema);
        assert!(references.contains(&"#/$defs/source_mqtt/$defs/Place".to_owned()), "{references:?}");
        for reference in references {
            assert!(schema.pointer(&reference[1..]).is_some(), "{reference}");
        }
    }

    #[test]
    fn a_kind_is_one_of_the_keys() {
        let schema = json_schema(vec![("mqtt".to_owned(), schemars::schema_for!(Options))], Vec::new(), Vec::new());
        let source = &schema["properties"]["sources"]["additionalProperties"];
        assert_eq!(source["oneOf"], json!([{ "required": ["mqtt"] }]));
        assert_eq!(source["properties"]["mqtt"]["$ref"], "#/$defs/source_mqtt");
    }
}
