//! What fits and what does not, and what is refused before it could leave something unchecked.

use super::*;
use serde_json::json;

fn check(schema: Value, value: Value) -> Result<(), String> {
    Schema::compile(schema).unwrap().check(value.to_string().as_bytes())
}

/// A schema, values that fit it, and values that do not.
type Case = (Value, Vec<Value>, Vec<Value>);

fn check_all(cases: impl IntoIterator<Item = Case>) {
    for (schema, fitting, missing) in cases {
        for value in fitting {
            assert_eq!(check(schema.clone(), value.clone()), Ok(()), "{value} against {schema}");
        }
        for value in missing {
            assert!(check(schema.clone(), value.clone()).is_err(), "{value} against {schema}");
        }
    }
}

#[test]
fn values_fit_or_miss_as_the_keywords_say() {
    check_all([
        (json!(true), vec![json!(1)], vec![]),
        (json!(false), vec![], vec![json!(null)]),
        (json!({"type": "integer"}), vec![json!(1), json!(2.0)], vec![json!(1.5), json!("1")]),
        (json!({"type": ["string", "null"]}), vec![json!("a"), json!(null)], vec![json!(1)]),
        (json!({"enum": [1, "a", [1]]}), vec![json!(1.0), json!([1])], vec![json!([2])]),
        (json!({"const": {"a": 1}}), vec![json!({"a": 1.0})], vec![json!({"a": 1, "b": 2})]),
        (
            json!({"minimum": 1, "exclusiveMaximum": 3}),
            vec![json!(1), json!(2.9), json!("x")],
            vec![json!(0), json!(3)],
        ),
        (json!({"exclusiveMinimum": 0, "maximum": 2}), vec![json!(2)], vec![json!(0), json!(2.1)]),
        (json!({"multipleOf": 0.1}), vec![json!(0.3), json!(7)], vec![json!(0.35)]),
        (json!({"multipleOf": 3}), vec![json!(9), json!(-3)], vec![json!(10)]),
        (
            json!({"minLength": 2, "maxLength": 3}),
            vec![json!("äö"), json!(1)],
            vec![json!("ä"), json!("abcd")],
        ),
        (
            json!({"minItems": 1, "maxItems": 2, "uniqueItems": true}),
            vec![json!([1, 2])],
            vec![json!([]), json!([1, 2, 3]), json!([1, 1.0])],
        ),
        (
            json!({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}),
            vec![json!(["a", 1]), json!([])],
            vec![json!([1]), json!(["a", "b"])],
        ),
        (json!({"contains": {"const": 1}}), vec![json!([0, 1])], vec![json!([0])]),
        (
            json!({"properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false}),
            vec![json!({"a": 1})],
            vec![json!({}), json!({"a": "x"}), json!({"a": 1, "b": 1})],
        ),
        (
            json!({"additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 2}),
            vec![json!({"x": 1})],
            vec![json!({}), json!({"x": "a"}), json!({"a": 1, "b": 1, "c": 1})],
        ),
        (
            json!({"pattern": "^[a-z]\\d{1,3}(-x)?$"}),
            vec![json!("a1"), json!("z123-x"), json!(5)],
            vec![json!("A1"), json!("a1234"), json!("a1\n"), json!("a\u{664}")],
        ),
        (json!({"pattern": "b+"}), vec![json!("abbc")], vec![json!("ac")]),
        (
            json!({"properties": {"x": true}, "patternProperties": {"^n_": {"type": "number"}},
                "additionalProperties": false}),
            vec![json!({"x": "a", "n_a": 1})],
            vec![json!({"n_a": "1"}), json!({"m_a": 1})],
        ),
        (
            json!({"dependentRequired": {"user": ["password", "host"]}}),
            vec![json!({}), json!({"user": 1, "password": 2, "host": 3}), json!(7)],
            vec![json!({"user": 1, "host": 2})],
        ),
        (
            json!({"contains": {"const": 1}, "minContains": 2, "maxContains": 3}),
            vec![json!([1, 1]), json!([0, 1, 1, 1])],
            vec![json!([1]), json!([1, 1, 1, 1])],
        ),
        (json!({"contains": {"const": 1}, "minContains": 0}), vec![json!([])], vec![]),
        (
            json!({"propertyNames": {"maxLength": 2}}),
            vec![json!({"ab": 1})],
            vec![json!({"abc": 1})],
        ),
    ]);
}

#[test]
fn schemas_are_joined_as_the_keywords_say() {
    check_all([
        (json!({"allOf": [{"minimum": 1}, {"maximum": 2}]}), vec![json!(1)], vec![json!(3)]),
        (
            json!({"anyOf": [{"type": "string"}, {"minimum": 5}]}),
            vec![json!("a"), json!(5)],
            vec![json!(4)],
        ),
        (
            json!({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}),
            vec![json!(2), json!(3)],
            vec![json!(6), json!(5)],
        ),
        (json!({"not": {"type": "null"}}), vec![json!(1)], vec![json!(null)]),
        (
            json!({"if": {"minimum": 10}, "then": {"multipleOf": 10}, "else": {"maximum": 5}}),
            vec![json!(20), json!(3)],
            vec![json!(11), json!(7)],
        ),
        (
            json!({"$defs": {"p": {"type": "integer"}}, "items": {"$ref": "#/$defs/p"}}),
            vec![json!([1])],
            vec![json!(["a"])],
        ),
    ]);
}

#[test]
fn a_miss_names_its_place() {
    let schema = json!({"properties": {"a/b": {"items": {"type": "integer"}}}});
    let why = check(schema, json!({"a/b": [1, "x"]})).unwrap_err();
    assert_eq!(why, "/a~1b/1: it is no integer");
    let why = Schema::compile(json!({})).unwrap().check(b"{").unwrap_err();
    assert!(why.starts_with("it is no JSON"), "{why}");
}

#[test]
fn a_schema_with_what_would_stay_unchecked_is_refused() {
    for schema in [
        json!({"properties": {"a": {"unevaluatedItems": false}}}),
        json!({"dependentSchemas": {"a": true}}),
        json!({"$id": "https://example.com/", "$defs": {"a": {"$id": "b"}}}),
        json!({"$ref": "https://example.com/schema"}),
        json!({"$ref": "other.json#/$defs/a"}),
        json!({"$ref": "#anchor", "$defs": {"a": {"$anchor": "anchor"}}}),
        json!({"$ref": "#/default", "default": {"unevaluatedItems": false}}),
        json!({"pattern": 1}),
        json!({"pattern": "("}),
        json!({"pattern": "(?=a)b"}),
        json!({"pattern": "(a)\\1"}),
        json!({"pattern": "\\p{Letter}"}),
        json!({"pattern": "(a{1000}){1000}"}),
        json!({"patternProperties": {"[": true}}),
        json!({"dependentRequired": {"a": "b"}}),
        json!({"$ref": "#/none"}),
        json!({"$dynamicRef": "#a"}),
        json!({"unevaluatedProperties": false}),
        json!({"type": "text"}),
        json!({"required": "a"}),
        json!({"minLength": -1}),
        json!({"multipleOf": 0}),
        json!({"allOf": []}),
        json!([]),
    ] {
        assert!(Schema::compile(schema.clone()).is_err(), "{schema}");
    }
    let described = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "t",
        "format": "email", "default": 1});
    assert!(Schema::compile(described).is_ok());
}

#[test]
fn neither_a_schema_nor_a_value_keeps_the_check_busy() {
    let own = check(json!({"$ref": "#"}), json!(1)).unwrap_err();
    assert_eq!(own, "the check goes too deep");
    let not = check(json!({"not": {"$ref": "#"}}), json!(1)).unwrap_err();
    assert_eq!(not, "the check goes too deep", "being given up is no miss that `not` turns round");
    let twice = json!({"anyOf": [
        {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}],
        "$defs": {"a": {"items": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}}});
    let mut deep = json!(1);
    for _ in 0..40 {
        deep = json!([deep]);
    }
    let why = check(twice, deep).unwrap_err();
    assert!(why == "the check takes too long" || why == "the check goes too deep", "{why}");
    let long = "a".repeat(900_000);
    let why = check(json!({"pattern": "^(a|aa)*(b{20}c{20}){20}$"}), json!(long)).unwrap_err();
    assert_eq!(why, "the check takes too long");
    assert_eq!(check(json!({"pattern": "^a*$"}), json!(long)), Ok(()));
    let many: Vec<usize> = (0..5_000).collect();
    let why = check(json!({"uniqueItems": true}), json!(many)).unwrap_err();
    assert_eq!(why, "the check takes too long");
}
