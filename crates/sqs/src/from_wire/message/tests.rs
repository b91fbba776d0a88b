use super::*;

fn attribute(data_type: &str, value: &str) -> Attribute {
    let (string_value, binary_value) = if data_type.starts_with("Binary") {
        (None, Some(value.to_owned()))
    } else {
        (Some(value.to_owned()), None)
    };
    Attribute { data_type: Some(data_type.to_owned()), string_value, binary_value }
}

fn sent(body: &str, attributes: &[(&str, Attribute)]) -> Sent {
    let attributes = attributes.iter().map(|(name, of)| ((*name).to_owned(), of.clone()));
    Sent {
        message_body: Some(body.to_owned()),
        message_attributes: Some(Map(attributes.collect())),
        ..Sent::default()
    }
}

#[test]
fn size_counts_the_body_and_names_types_and_values_of_attributes() {
    let mut sent =
        sent("häh", &[("n", attribute("Number", "12")), ("b", attribute("Binary", "AAEC"))]);
    assert_eq!(sent.check().unwrap().size, 4 + (1 + 6 + 2) + (1 + 6 + 3));
}

#[test]
fn bodies_are_text_that_xml_can_hold() {
    let code = |body: &str| sent(body, &[]).check().map(|_| ()).map_err(|error| error.code);
    assert_eq!(code(""), Err(Code::MissingParameter));
    for bad in ["\0", "a\u{b}", "\u{fffe}", "\u{1f}"] {
        assert_eq!(code(bad), Err(Code::InvalidMessageContents), "{bad:?}");
    }
    for good in ["\t\r\n", "\u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}", " "] {
        assert_eq!(code(good), Ok(()), "{good:?}");
    }
}

#[test]
fn attributes_that_are_none_are_refused() {
    let good = || attribute("String", "x");
    for (name, of) in [
        ("", good()),
        (".a", good()),
        ("a.", good()),
        ("a..b", good()),
        ("AWS.a", good()),
        ("amazon.a", good()),
        ("a b", good()),
        ("a", attribute("String", "")),
        ("a", attribute("Number", "ten")),
        ("a", attribute("Number", "NaN")),
        ("a", attribute("Binary", "")),
        ("a", attribute("Binary", "?")),
        ("a", attribute("Text", "x")),
        ("a", Attribute { data_type: None, ..good() }),
        ("a", attribute("String", "\0")),
    ] {
        assert!(sent("b", &[(name, of.clone())]).check().is_err(), "{name} {of:?}");
    }
    let names: Vec<String> = (0..11).map(|n| format!("n{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), good())).collect();
    assert!(sent("b", &many).check().is_err());
    assert!(sent("b", &many[..10]).check().is_ok());
}

#[test]
fn only_the_trace_header_is_a_system_attribute() {
    let with = |name: &str, of: Attribute| {
        let system = Map([(name.to_owned(), of)].into_iter().collect());
        Sent { message_system_attributes: Some(system), ..sent("b", &[]) }.check()
    };
    let trace = with("AWSTraceHeader", attribute("String", "Root=1")).unwrap().trace;
    assert_eq!(trace.as_deref(), Some("Root=1"));
    assert!(with("SenderId", attribute("String", "x")).is_err());
    assert!(with("AWSTraceHeader", attribute("Binary", "AA==")).is_err());
}
