//! Checks JSON values against the part of JSON Schema (draft 2020-12) that a configuration needs;
//! `docs/config-push.md` lists the keywords. A schema with anything else that could refuse a value
//! is refused itself: nothing is silently left unchecked, and nothing is fetched.
//!
//! Depth and steps are bounded, so that no schema and no value can keep the broker busy.

mod compile;
mod pattern;

use super::ConfigError;
use compile::{resolve, type_names};
use pattern::Pattern;
use serde_json::{Map, Number, Value};
use std::collections::{HashMap, hash_map::Entry};
use tramline_types::limits::{CONFIG_SCHEMA_DEPTH_MAX, CONFIG_SCHEMA_STEPS_MAX};

/// A schema that can be followed.
#[derive(Debug)]
pub(crate) struct Schema {
    root: Value,
}

impl Schema {
    /// Takes a schema, if it can be followed.
    pub(crate) fn compile(root: Value) -> Result<Self, ConfigError> {
        compile::check(&root).map_err(ConfigError::InvalidSchema)?;
        Ok(Self { root })
    }

    /// Whether a JSON text fits; else where and why not.
    pub(crate) fn check(&self, text: &[u8]) -> Result<(), String> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let mut check =
            Check { root: &self.root, steps: 0, exhausted: None, patterns: HashMap::new() };
        let fits = check.fits(&self.root, &value, 0);
        match check.exhausted {
            Some(why) => Err(why.to_owned()),
            None => fits.map_err(|miss| miss.to_string()),
        }
    }
}

/// Where a value does not fit, and why.
struct Miss {
    /// From the innermost place outwards.
    place: Vec<String>,
    why: String,
}

impl Miss {
    fn within(mut self, place: impl ToString) -> Self {
        self.place.push(place.to_string());
        self
    }
}

impl std::fmt::Display for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for place in self.place.iter().rev() {
            write!(f, "/{}", place.replace('~', "~0").replace('/', "~1"))?;
        }
        write!(f, "{}{}", if self.place.is_empty() { "" } else { ": " }, self.why)
    }
}

fn miss(why: impl Into<String>) -> Result<(), Miss> {
    Err(Miss { place: Vec::new(), why: why.into() })
}

/// One check of one value.
struct Check<'a> {
    root: &'a Value,
    steps: usize,
    /// Why it was given up: no outcome counts then.
    exhausted: Option<&'static str>,
    /// Those that were needed.
    patterns: HashMap<&'a str, Pattern>,
}

const TOO_LONG: &str = "the check takes too long";

impl<'a> Check<'a> {
    fn fits(&mut self, schema: &'a Value, value: &Value, depth: usize) -> Result<(), Miss> {
        self.steps += 1;
        if self.steps > CONFIG_SCHEMA_STEPS_MAX {
            self.exhausted = Some(TOO_LONG);
        } else if depth > CONFIG_SCHEMA_DEPTH_MAX {
            self.exhausted = Some("the check goes too deep");
        }
        if self.exhausted.is_some() {
            return miss("");
        }
        let fields = match schema {
            Value::Object(fields) => fields,
            Value::Bool(true) => return Ok(()),
            _ => return miss("nothing is allowed here"),
        };
        if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
            let target = resolve(self.root, target).unwrap_or(const { &Value::Bool(false) });
            self.fits(target, value, depth + 1)?;
        }
        self.fits_itself(fields, value)?;
        self.fits_combined(fields, value, depth)?;
        match value {
            Value::Object(of) => self.fits_object(fields, of, depth),
            Value::Array(of) => self.fits_array(fields, of, depth),
            Value::String(text) => {
                let length = text.chars().count();
                within_counts(fields, ["minLength", "maxLength"], length, "characters")?;
                match fields.get("pattern").and_then(Value::as_str) {
                    Some(pattern) if !self.matches(pattern, text) => {
                        miss(format!("it does not match `{pattern}`"))
                    }
                    _ => Ok(()),
                }
            }
            Value::Number(number) => fits_number(fields, number),
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }

    /// Whether a pattern is found in a text. Each byte takes as many steps as the pattern weighs.
    fn matches(&mut self, pattern: &'a str, text: &str) -> bool {
        let known = match self.patterns.entry(pattern) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => match Pattern::compile(pattern) {
                Ok(pattern) => place.insert(pattern),
                Err(_) => return false,
            },
        };
        self.steps = self.steps.saturating_add(known.weight().saturating_mul(text.len()));
        if self.steps > CONFIG_SCHEMA_STEPS_MAX {
            self.exhausted = Some(TOO_LONG);
            return false;
        }
        known.is_in(text)
    }

    fn fits_itself(&mut self, fields: &Map<String, Value>, value: &Value) -> Result<(), Miss> {
        if let Some(names) = fields.get("type").and_then(type_names)
            && !names.iter().any(|name| is_of_type(value, name))
        {
            return miss(format!("it is no {}", names.join(" and no ")));
        }
        if let Some(only) = fields.get("const")
            && !self.same(only, value)
        {
            return miss("it is not the value that is wanted");
        }
        if let Some(Value::Array(allowed)) = fields.get("enum")
            && !allowed.iter().any(|one| self.same(one, value))
        {
            return miss("it is none of the values that are allowed");
        }
        Ok(())
    }

    /// Equality of JSON: 1 is 1.0. Each comparison of two values is a step.
    fn same(&mut self, one: &Value, other: &Value) -> bool {
        self.steps += 1;
        match (one, other) {
            (Value::Number(one), Value::Number(other)) => same_number(one, other),
            (Value::Array(one), Value::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| self.same(a, b))
            }
            (Value::Object(one), Value::Object(other)) => {
                one.len() == other.len()
                    && one.iter().all(|(name, a)| other.get(name).is_some_and(|b| self.same(a, b)))
            }
            _ => one == other,
        }
    }

    fn fits_combined(
        &mut self,
        fields: &'a Map<String, Value>,
        value: &Value,
        depth: usize,
    ) -> Result<(), Miss> {
        let list = |name: &str| fields.get(name).and_then(Value::as_array);
        for schema in list("allOf").into_iter().flatten() {
            self.fits(schema, value, depth + 1)?;
        }
        if let Some(any) = list("anyOf")
            && !any.iter().any(|schema| self.fits(schema, value, depth + 1).is_ok())
        {
            return miss("it fits none of `anyOf`");
        }
        if let Some(one) = list("oneOf") {
            let fit = |schema: &&'a Value| self.fits(schema, value, depth + 1).is_ok();
            let fitting = one.iter().filter(fit).count();
            if fitting != 1 {
                return miss(format!("it fits {fitting} of `oneOf`, not one"));
            }
        }
        if let Some(not) = fields.get("not")
            && self.fits(not, value, depth + 1).is_ok()
        {
            return miss("it fits what `not` forbids");
        }
        if let Some(condition) = fields.get("if") {
            let branch =
                if self.fits(condition, value, depth + 1).is_ok() { "then" } else { "else" };
            if let Some(branch) = fields.get(branch) {
                self.fits(branch, value, depth + 1)?;
            }
        }
        Ok(())
    }

    fn fits_object(
        &mut self,
        fields: &'a Map<String, Value>,
        of: &Map<String, Value>,
        depth: usize,
    ) -> Result<(), Miss> {
        within_counts(fields, ["minProperties", "maxProperties"], of.len(), "fields")?;
        for name in fields.get("required").and_then(Value::as_array).into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            if !of.contains_key(name) {
                return miss(format!("it lacks `{name}`"));
            }
        }
        let dependent = fields.get("dependentRequired").and_then(Value::as_object);
        for (name, needed) in dependent.into_iter().flatten().filter(|it| of.contains_key(it.0)) {
            let needed = needed.as_array().into_iter().flatten().filter_map(Value::as_str);
            if let Some(lacking) = needed.into_iter().find(|needed| !of.contains_key(*needed)) {
                return miss(format!("it has `{name}` and lacks `{lacking}`"));
            }
        }
        let known = fields.get("properties").and_then(Value::as_object);
        let by_pattern = fields.get("patternProperties").and_then(Value::as_object);
        for (name, value) in of {
            if let Some(names) = fields.get("propertyNames") {
                let name = Value::from(name.as_str());
                self.fits(names, &name, depth + 1).map_err(|miss| miss.within("(name)"))?;
            }
            let mut is_known = false;
            if let Some(schema) = known.and_then(|known| known.get(name)) {
                is_known = true;
                self.fits(schema, value, depth + 1).map_err(|miss| miss.within(name))?;
            }
            for (pattern, schema) in by_pattern.into_iter().flatten() {
                if self.matches(pattern, name) {
                    is_known = true;
                    self.fits(schema, value, depth + 1).map_err(|miss| miss.within(name))?;
                }
            }
            match fields.get("additionalProperties").filter(|_| !is_known) {
                Some(Value::Bool(false)) => return miss(format!("`{name}` is not allowed")),
                Some(schema) => {
                    self.fits(schema, value, depth + 1).map_err(|miss| miss.within(name))?;
                }
                None => {}
            }
        }
        Ok(())
    }

    fn fits_array(
        &mut self,
        fields: &'a Map<String, Value>,
        of: &[Value],
        depth: usize,
    ) -> Result<(), Miss> {
        within_counts(fields, ["minItems", "maxItems"], of.len(), "items")?;
        let first = fields.get("prefixItems").and_then(Value::as_array);
        for (at, value) in of.iter().enumerate() {
            let schema = first.and_then(|first| first.get(at)).or_else(|| fields.get("items"));
            if let Some(schema) = schema {
                self.fits(schema, value, depth + 1).map_err(|miss| miss.within(at))?;
            }
        }
        if let Some(wanted) = fields.get("contains") {
            let fit = |value: &&Value| self.fits(wanted, value, depth + 1).is_ok();
            let count = u64::try_from(of.iter().filter(fit).count()).unwrap_or(u64::MAX);
            let limit = |name: &str| fields.get(name).and_then(Value::as_u64);
            if count < limit("minContains").unwrap_or(1) {
                return miss(format!("{count} items fit `contains`, too few"));
            }
            if limit("maxContains").is_some_and(|most| count > most) {
                return miss(format!("{count} items fit `contains`, too many"));
            }
        }
        if fields.get("uniqueItems") == Some(&Value::Bool(true)) {
            for (at, value) in of.iter().enumerate() {
                self.steps += at;
                if self.steps > CONFIG_SCHEMA_STEPS_MAX {
                    self.exhausted = Some(TOO_LONG);
                    return miss("");
                }
                if of[..at].iter().any(|before| self.same(before, value)) {
                    return miss(format!("item {at} is there twice"));
                }
            }
        }
        Ok(())
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        _ => match value {
            Value::Number(number) => {
                number.is_i64()
                    || number.is_u64()
                    || number.as_f64().is_some_and(|n| n.fract() == 0.0)
            }
            _ => false,
        },
    }
}

fn within_counts(
    fields: &Map<String, Value>,
    [least, most]: [&str; 2],
    count: usize,
    what: &str,
) -> Result<(), Miss> {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let limit = |name: &str| fields.get(name).and_then(Value::as_u64);
    if let Some(least) = limit(least).filter(|least| count < *least) {
        return miss(format!("it has {count} {what}, not {least} at least"));
    }
    if let Some(most) = limit(most).filter(|most| count > *most) {
        return miss(format!("it has {count} {what}, not {most} at most"));
    }
    Ok(())
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn compare(one: &Number, other: &Number) -> Option<std::cmp::Ordering> {
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

fn same_number(one: &Number, other: &Number) -> bool {
    compare(one, other) == Some(std::cmp::Ordering::Equal)
}

fn fits_number(fields: &Map<String, Value>, number: &Number) -> Result<(), Miss> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    for (name, allowed, what) in [
        ("minimum", &[Greater, Equal][..], "it is below"),
        ("maximum", &[Less, Equal], "it is above"),
        ("exclusiveMinimum", &[Greater], "it is not above"),
        ("exclusiveMaximum", &[Less], "it is not below"),
    ] {
        let Some(Value::Number(limit)) = fields.get(name) else { continue };
        if !compare(number, limit).is_some_and(|order| allowed.contains(&order)) {
            return miss(format!("{what} {limit}"));
        }
    }
    if let Some(Value::Number(factor)) = fields.get("multipleOf") {
        let is_multiple = match (whole(number), whole(factor)) {
            (Some(number), Some(factor)) => factor != 0 && number % factor == 0,
            _ => {
                let quotient = number.as_f64().unwrap_or(f64::NAN) / factor.as_f64().unwrap_or(0.0);
                // As precise as such numbers are: 0.3 is a multiple of 0.1.
                (quotient - quotient.round()).abs() <= 1e-9 * quotient.abs().max(1.0)
            }
        };
        if !is_multiple {
            return miss(format!("it is no multiple of {factor}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
