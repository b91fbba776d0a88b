use super::*;

fn arguments(pairs: &[(&str, Value)]) -> Arguments {
    Arguments(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn goes(binding: &[(&str, Value)], message: &[(&str, Value)]) -> bool {
    let message = arguments(message);
    Wanted::parse(&arguments(binding)).unwrap().matches(&|name| message.get(name).cloned())
}

#[test]
fn all_asks_for_each_header_and_any_for_one() {
    let pair = [("format", text("pdf")), ("type", text("report"))];
    let all = [&pair[..], &[(X_MATCH, text("all"))]].concat();
    let any = [&pair[..], &[(X_MATCH, text("any"))]].concat();
    assert!(goes(&all, &pair));
    assert!(!goes(&all, &pair[..1]));
    assert!(!goes(&pair, &pair[..1]), "all is the default");
    assert!(goes(&any, &pair[..1]));
    assert!(!goes(&any, &[("format", text("zip"))]));
    assert!(!goes(&any, &[]));
}

#[test]
fn names_with_x_count_only_where_the_mode_says_so() {
    let x = ("x-tenant", text("a"));
    assert!(goes(std::slice::from_ref(&x), &[]), "an empty `all` matches everything");
    assert!(!goes(&[x.clone(), (X_MATCH, text("any"))], std::slice::from_ref(&x)));
    assert!(!goes(&[x.clone(), (X_MATCH, text("all-with-x"))], &[]));
    assert!(goes(&[x.clone(), (X_MATCH, text("all-with-x"))], std::slice::from_ref(&x)));
    assert!(goes(&[x.clone(), (X_MATCH, text("any-with-x"))], &[x]));
}

#[test]
fn no_value_asks_for_presence_and_types_must_agree() {
    assert!(goes(&[("n", Value::Void)], &[("n", Value::Int(7))]));
    assert!(!goes(&[("n", Value::Void)], &[]));
    assert!(!goes(&[("n", text("7"))], &[("n", Value::Int(7))]));
    assert!(goes(&[("n", Value::Int(7))], &[("n", Value::Int(7))]));
}

#[test]
fn another_x_match_is_refused() {
    assert!(Wanted::parse(&arguments(&[(X_MATCH, text("some"))])).is_none());
    assert!(Wanted::parse(&arguments(&[(X_MATCH, Value::Int(1))])).is_none());
}
