//! Whether a schema says nothing that would be left unchecked.

use super::pattern::Pattern;
use serde_json::Value;
use std::collections::HashSet;
use tramline_types::limits::CONFIG_SCHEMA_DEPTH_MAX;

/// Keywords that hold one schema.
const ONE: [&str; 8] =
    ["additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else"];
/// Keywords that hold a list of schemas.
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords that hold schemas by name.
const MAPS: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
/// Keywords with a number that is not negative.
const COUNTS: [&str; 8] = [
    "minProperties",
    "maxProperties",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minContains",
    "maxContains",
];
const NUMBERS: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
const DESCRIBING: [&str; 12] = [
    "$schema",
    "$anchor",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "contentMediaType",
];
const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// Whether a schema can be followed; else where not, and why.
pub(super) fn check(root: &Value) -> Result<(), String> {
    let mut found = Found { root, schemas: HashSet::new(), references: Vec::new() };
    compile(&mut found, root, "#", 0)?;
    let is_schema = |target: &Value| found.schemas.contains(&std::ptr::from_ref(target));
    // What no keyword leads to was not looked at.
    match found.references.into_iter().find(|(_, target)| !is_schema(target)) {
        Some((at, _)) => Err(format!("`{at}` leads to what is no schema")),
        None => Ok(()),
    }
}

/// What there is in a schema.
struct Found<'a> {
    root: &'a Value,
    schemas: HashSet<*const Value>,
    references: Vec<(String, &'a Value)>,
}

fn compile<'a>(
    found: &mut Found<'a>,
    schema: &'a Value,
    at: &str,
    depth: usize,
) -> Result<(), String> {
    if depth > CONFIG_SCHEMA_DEPTH_MAX {
        return Err(format!("`{at}` is nested more than {CONFIG_SCHEMA_DEPTH_MAX} deep"));
    }
    found.schemas.insert(std::ptr::from_ref(schema));
    let fields = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(fields) => fields,
        _ => return Err(format!("`{at}` is neither an object nor a truth value")),
    };
    for (name, value) in fields {
        let at = format!("{at}/{name}");
        let wrong = |what: &str| Err(format!("`{at}` is not {what}"));
        match name.as_str() {
            name if DESCRIBING.contains(&name) => {}
            name if ONE.contains(&name) => compile(found, value, &at, depth + 1)?,
            name if LISTS.contains(&name) => match value {
                Value::Array(all) if !all.is_empty() => {
                    all.iter().try_for_each(|one| compile(found, one, &at, depth + 1))?;
                }
                _ => return wrong("a list of schemas"),
            },
            name if MAPS.contains(&name) => match value {
                Value::Object(all) => {
                    for (of, one) in all {
                        if name == "patternProperties" {
                            check_pattern(&at, of)?;
                        }
                        compile(found, one, &format!("{at}/{of}"), depth + 1)?;
                    }
                }
                _ => return wrong("an object of schemas"),
            },
            "$id" if depth == 0 => {}
            "$id" => return Err(format!("`{at}`: only the whole schema may have an id")),
            "$ref" => {
                let target = value.as_str().and_then(|of| resolve(found.root, of));
                let Some(target) = target else {
                    return wrong(
                        "a reference to a place within this schema, such as `#/$defs/a`: nothing \
                         else is looked for, and nothing is fetched",
                    );
                };
                found.references.push((at, target));
            }
            "pattern" if value.is_string() => check_pattern(&at, value.as_str().unwrap_or(""))?,
            name => match what_else(name, value) {
                None => return Err(format!("`{at}`: this keyword is not supported")),
                Some((false, what)) => return wrong(what),
                Some((true, _)) => {}
            },
        }
    }
    Ok(())
}

/// Whether the value of a keyword that holds no schema is as it has to be, and what that is.
fn what_else(name: &str, value: &Value) -> Option<(bool, &'static str)> {
    Some(match name {
        "const" => (true, ""),
        "enum" => (value.is_array(), "a list"),
        "pattern" => (false, "a text"),
        "uniqueItems" => (value.is_boolean(), "a truth value"),
        "required" => (is_list_of_texts(value), "a list of names"),
        "dependentRequired" => (is_object_of_lists(value), "an object of lists of names"),
        "type" => (type_names(value).is_some(), "a type, or a list of types"),
        "multipleOf" => (value.as_f64().is_some_and(|number| number > 0.0), "a number above 0"),
        name if COUNTS.contains(&name) => (value.as_u64().is_some(), "a whole number from 0 on"),
        name if NUMBERS.contains(&name) => (value.is_number(), "a number"),
        _ => return None,
    })
}

fn is_list_of_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|all| all.iter().all(Value::is_string))
}

fn is_object_of_lists(value: &Value) -> bool {
    value.as_object().is_some_and(|all| all.values().all(is_list_of_texts))
}

fn check_pattern(at: &str, pattern: &str) -> Result<(), String> {
    Pattern::compile(pattern).map(drop).map_err(|why| format!("`{at}`: `{pattern}`: {why}"))
}

/// The types that a `type` allows; `None`: it is wrong.
pub(super) fn type_names(value: &Value) -> Option<Vec<&str>> {
    let names: Vec<&str> = match value {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().map(Value::as_str).collect::<Option<_>>()?,
        _ => return None,
    };
    names.iter().all(|name| TYPES.contains(name)).then_some(names)
}

/// What a reference leads to.
pub(super) fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let target = root.pointer(reference.strip_prefix('#')?)?;
    (target.is_object() || target.is_boolean()).then_some(target)
}
