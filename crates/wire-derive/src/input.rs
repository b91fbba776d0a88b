//! The structure and its attributes, checked.

use syn::meta::ParseNestedMeta;
use syn::{Data, DeriveInput, Error, Expr, Fields, Ident, LitInt, LitStr, Result, Type};

/// `"3"`, `"3-5"` or `"3+"`; the last one is open at the top.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) min: i16,
    pub(crate) max: i16,
}

impl Range {
    fn parse(meta: &ParseNestedMeta<'_>) -> Result<Self> {
        let literal: LitStr = meta.value()?.parse()?;
        let text = literal.value();
        let (min, max) = match text.split_once('-') {
            Some((min, max)) => (min.parse(), max.parse()),
            None => match text.strip_suffix('+') {
                Some(min) => (min.parse(), Ok(i16::MAX)),
                None => (text.parse(), text.parse()),
            },
        };
        match (min, max) {
            (Ok(min), Ok(max)) if 0 <= min && min <= max => Ok(Self { min, max }),
            _ => Err(Error::new(literal.span(), "expected a range such as \"3\", \"3-5\", \"3+\"")),
        }
    }

    /// Whether every version of `other` is in here.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.min <= other.min && other.max <= self.max
    }
}

/// A structure of the protocol.
pub(crate) struct Message {
    pub(crate) name: Ident,
    pub(crate) versions: Range,
    pub(crate) flexible: Option<Range>,
    pub(crate) fields: Vec<Field>,
}

/// One of its fields.
pub(crate) struct Field {
    pub(crate) name: Ident,
    pub(crate) kind: Type,
    pub(crate) versions: Range,
    pub(crate) nullable: Option<Range>,
    pub(crate) default: Option<Expr>,
    pub(crate) is_ignorable: bool,
    pub(crate) tag: Option<u32>,
}

impl Message {
    pub(crate) fn parse(input: &DeriveInput) -> Result<Self> {
        let mut versions = None;
        let mut flexible = None;
        for attribute in input.attrs.iter().filter(|it| it.path().is_ident("kafka")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("versions") {
                    versions = Some(Range::parse(&meta)?);
                } else if meta.path.is_ident("flexible") {
                    flexible = Some(Range::parse(&meta)?);
                } else {
                    return Err(meta.error("expected `versions` or `flexible`"));
                }
                Ok(())
            })?;
        }
        let name = input.ident.clone();
        let Some(versions) = versions else {
            return Err(Error::new(name.span(), "missing `#[kafka(versions = \"..\")]`"));
        };
        let Data::Struct(data) = &input.data else {
            return Err(Error::new(name.span(), "only structures are messages"));
        };
        let Fields::Named(fields) = &data.fields else {
            return Err(Error::new(name.span(), "the fields need names"));
        };
        let fields = fields
            .named
            .iter()
            .map(|field| Field::parse(field, versions))
            .collect::<Result<Vec<_>>>()?;
        if let (None, Some(field)) = (flexible, fields.iter().find(|field| field.tag.is_some())) {
            return Err(Error::new(field.name.span(), "a tagged field needs `flexible` versions"));
        }
        Ok(Self { name, versions, flexible, fields })
    }
}

impl Field {
    fn parse(field: &syn::Field, versions: Range) -> Result<Self> {
        let Some(name) = field.ident.clone() else {
            return Err(Error::new_spanned(field, "the fields need names"));
        };
        let mut parsed = Self {
            name,
            kind: field.ty.clone(),
            versions,
            nullable: None,
            default: None,
            is_ignorable: false,
            tag: None,
        };
        for attribute in field.attrs.iter().filter(|it| it.path().is_ident("kafka")) {
            attribute.parse_nested_meta(|meta| parsed.set(&meta))?;
        }
        Ok(parsed)
    }

    fn set(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("versions") {
            self.versions = Range::parse(meta)?;
        } else if meta.path.is_ident("nullable") {
            self.nullable = Some(Range::parse(meta)?);
        } else if meta.path.is_ident("default") {
            self.default = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("ignorable") {
            self.is_ignorable = true;
        } else if meta.path.is_ident("tagged") {
            self.tag = Some(meta.value()?.parse::<LitInt>()?.base10_parse()?);
        } else {
            return Err(meta.error("unknown key"));
        }
        Ok(())
    }
}
