//! As much of JSON Schema as `openapi.json` uses, to hold answers against it.

use serde_json::Value;

/// The description of the API.
pub(crate) fn document() -> Value {
    serde_json::from_str(tramline_http::openapi()).unwrap()
}

/// What is wrong with a value, if anything.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        let target = target.ok_or_else(|| format!("`{reference}` points nowhere"))?;
        return check(document, target, value);
    }
    let fits = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type `{other}`"),
    };
    let right_type = match &schema["type"] {
        Value::String(name) => fits(name),
        Value::Array(names) => names.iter().any(|name| fits(name.as_str().unwrap())),
        _ => true,
    };
    if !right_type {
        return Err(format!("{value} is no {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        return Err(format!("{value} is none of {}", schema["enum"]));
    }
    if let Some(options) = schema["oneOf"].as_array() {
        let fitting = options.iter().filter(|option| check(document, option, value).is_ok());
        if fitting.count() != 1 {
            return Err(format!("{value} does not fit exactly one of {}", schema["oneOf"]));
        }
    }
    if let Value::Array(items) = value {
        items.iter().try_for_each(|item| check(document, &schema["items"], item))?;
    }
    if let Value::Object(fields) = value {
        for required in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(required.as_str().unwrap()) {
                return Err(format!("{value} lacks {required}"));
            }
        }
        for (name, field) in fields {
            let property = match schema["properties"].get(name) {
                Some(property) => property,
                None if schema["additionalProperties"] == false => {
                    return Err(format!("`{name}` is not described"));
                }
                None => &schema["additionalProperties"],
            };
            check(document, property, field).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    Ok(())
}

#[test]
fn the_check_finds_what_is_wrong() {
    let document = serde_json::json!({ "s": { "type": "string", "enum": ["a"] } });
    let schema = serde_json::json!({
        "type": "object", "required": ["n"], "additionalProperties": false,
        "properties": {
            "n": { "type": ["integer", "null"] },
            "s": { "$ref": "#/s" },
            "l": { "type": "array", "items": { "oneOf": [{ "type": "boolean" }, { "$ref": "#/s" }] } },
        },
    });
    let check = |text: &str| check(&document, &schema, &serde_json::from_str(text).unwrap());
    for right in [r#"{"n":1}"#, r#"{"n":null,"s":"a","l":[true,"a"]}"#] {
        assert_eq!(check(right), Ok(()));
    }
    for wrong in [
        "1",
        "{}",
        r#"{"n":"1"}"#,
        r#"{"n":1.5}"#,
        r#"{"n":1,"s":"b"}"#,
        r#"{"n":1,"x":1}"#,
        r#"{"n":1,"l":[1]}"#,
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}
