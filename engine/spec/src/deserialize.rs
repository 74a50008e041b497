//! serde's view of a [`Node`], with errors that know their place.

use crate::deserialize_error::ReadError;
use crate::node::{Content, Entry, Scalar, ScalarValue};
use crate::{Diagnostic, Node, Span, Spanned};
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use std::cell::RefCell;
use std::marker::PhantomData;

/// See [`Node::parse`].
pub(crate) fn parse<T: DeserializeOwned>(node: &Node) -> Result<T, Diagnostic> {
    T::deserialize(Reader(node)).map_err(|error| error.into_diagnostic(node))
}

/// Names under which [`Spanned`] and [`Node`] ask for more than serde's data model can carry.
const SPANNED: &str = "jarvis_spec::Spanned";
const NODE: &str = "jarvis_spec::Node";

thread_local! {
    /// The node for the `Spanned` or `Node` that is being read right now; set and taken within one call.
    static HANDED_OVER: RefCell<Option<Node>> = const { RefCell::new(None) };
}

fn take_handed_over<E: de::Error>() -> Result<Node, E> {
    HANDED_OVER.take().ok_or_else(|| E::custom("a value with its place can only be read from a pipeline file"))
}

pub(crate) fn node<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
    struct Take;
    impl<'de> Visitor<'de> for Take {
        type Value = Node;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("any value")
        }
        fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<Node, D::Error> {
            take_handed_over()
        }
    }
    deserializer.deserialize_newtype_struct(NODE, Take)
}

pub(crate) fn spanned<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Spanned<T>, D::Error> {
    struct Take<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Take<T> {
        type Value = Spanned<T>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a value")
        }
        fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Spanned<T>, D::Error> {
            let span = take_handed_over::<D::Error>()?.span().clone();
            T::deserialize(inner).map(|value| Spanned { value, span })
        }
    }
    deserializer.deserialize_newtype_struct(SPANNED, Take(PhantomData))
}

/// A node to be read.
#[derive(Clone, Copy)]
struct Reader<'n>(&'n Node);

impl<'n> Reader<'n> {
    /// Runs `read` and puts an error without a place here: the first, so the innermost, node it comes through.
    fn located<T>(self, read: impl FnOnce() -> Result<T, ReadError>) -> Result<T, ReadError> {
        read().map_err(|error| error.at(self.0))
    }

    fn scalar(self) -> Option<&'n Scalar> {
        self.0.as_scalar()
    }

    /// Shows the visitor a scalar as `value`, whatever the visitor asked for.
    fn visit_scalar<'de, V: Visitor<'de>>(
        scalar: &Scalar,
        value: ScalarValue,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match value {
            ScalarValue::Null => visitor.visit_unit(),
            ScalarValue::Bool(value) => visitor.visit_bool(value),
            ScalarValue::Int(value) => match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) => visitor.visit_i64(value),
                (_, Ok(value)) => visitor.visit_u64(value),
                _ => visitor.visit_i128(value),
            },
            ScalarValue::Float(value) => visitor.visit_f64(value),
            ScalarValue::Text => visitor.visit_str(&scalar.text),
        }
    }

    fn visit_any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0.content() {
            Content::Scalar(scalar) => Self::visit_scalar(scalar, scalar.value, visitor),
            Content::Sequence(items) => visit_items(items, visitor),
            Content::Mapping(entries) => visit_entries(entries, visitor),
        }
    }

    /// For a number or a bool: a scalar with a `${NAME}` is read as if it was plain.
    fn visit_resolved<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.located(|| match self.scalar() {
            Some(scalar) => Self::visit_scalar(scalar, scalar.resolved(), visitor),
            None => self.visit_any(visitor),
        })
    }

    /// For a text: a scalar with a `${NAME}` is one, even if its value looks like a number.
    fn visit_text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.located(|| match self.0.as_str() {
            Some(text) => visitor.visit_str(text),
            None => self.visit_any(visitor),
        })
    }
}

macro_rules! forward {
    ($method:ident: $($name:ident)*) => {
        $(fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    forward!(visit_resolved: deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64);
    forward!(visit_text: deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_identifier);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.located(|| self.visit_any(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.located(|| if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) })
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name == SPANNED || name == NODE {
            HANDED_OVER.replace(Some(self.0.clone()));
        }
        self.located(|| visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.located(|| if self.0.is_null() { visit_entries(&[], visitor) } else { self.visit_any(visitor) })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.located(|| match (self.0.as_str(), self.0.entries()) {
            (Some(text), _) => visitor.visit_enum(StrDeserializer::new(text)),
            (None, [entry]) => visitor.visit_enum(Variant { entry }),
            _ => Err(ReadError::expected(format!("one of {}", crate::deserialize_error::listed(variants)), self.0)),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }
}

impl<'de> IntoDeserializer<'de, ReadError> for Reader<'_> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

fn visit_items<'de, V: Visitor<'de>>(items: &[Node], visitor: V) -> Result<V::Value, ReadError> {
    let mut access = Items { rest: items.iter(), read: 0 };
    let value = visitor.visit_seq(&mut access)?;
    match access.rest.next() {
        Some(item) => Err(ReadError::custom(format!("the list ends after {} items", access.read)).at(item)),
        None => Ok(value),
    }
}

struct Items<'n> {
    rest: std::slice::Iter<'n, Node>,
    read: usize,
}

impl<'de> de::SeqAccess<'de> for &mut Items<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(item) = self.rest.next() else { return Ok(None) };
        self.read += 1;
        seed.deserialize(Reader(item)).map(Some).map_err(|error| error.about(|| "an item of the list".to_owned()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

fn visit_entries<'de, V: Visitor<'de>>(entries: &[Entry], visitor: V) -> Result<V::Value, ReadError> {
    visitor.visit_map(Entries { rest: entries.iter(), value: None })
}

struct Entries<'n> {
    rest: std::slice::Iter<'n, Entry>,
    value: Option<&'n Entry>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some(entry) = self.rest.next() else { return Ok(None) };
        self.value = Some(entry);
        seed.deserialize(Key { text: &entry.key.value, span: &entry.key.span }).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        let entry = self.value.take().ok_or_else(|| ReadError::custom("a value was read before its key"))?;
        seed.deserialize(Reader(&entry.value)).map_err(|error| error.about(|| format!("`{}`", entry.key.value)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A key of a mapping: a text, or a number where the map's type wants one.
struct Key<'n> {
    text: &'n str,
    span: &'n Span,
}

impl Key<'_> {
    fn visit_number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let visited = match ScalarValue::of_plain(self.text) {
            ScalarValue::Bool(value) => visitor.visit_bool(value),
            ScalarValue::Int(value) if i64::try_from(value).is_ok() => visitor.visit_i64(value as i64),
            _ => visitor.visit_str(self.text),
        };
        visited.map_err(|error: ReadError| error.at_span(self.span))
    }
}

macro_rules! forward_key {
    ($($name:ident)*) => {
        $(fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.visit_number(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = ReadError;

    forward_key!(deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_str(self.text).map_err(|error: ReadError| error.at_span(self.span))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_enum(StrDeserializer::new(self.text)).map_err(|error: ReadError| error.at_span(self.span))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name == SPANNED || name == NODE {
            let scalar = Scalar {
                value: ScalarValue::Text,
                text: self.text.to_owned(),
                style: crate::node::Style::Plain,
                secret: false,
                expanded: None,
            };
            HANDED_OVER.replace(Some(Node::new(Content::Scalar(scalar), self.span.clone())));
        }
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// `{ variant: value }`.
struct Variant<'n> {
    entry: &'n Entry,
}

impl<'de, 'n> de::EnumAccess<'de> for Variant<'n> {
    type Error = ReadError;
    type Variant = Reader<'n>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Reader<'n>), ReadError> {
        let key = Key { text: &self.entry.key.value, span: &self.entry.key.span };
        Ok((seed.deserialize(key)?, Reader(&self.entry.value)))
    }
}

impl<'de> de::VariantAccess<'de> for Reader<'_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        if self.0.is_null() { Ok(()) } else { Err(ReadError::expected("nothing".to_owned(), self.0).at(self.0)) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_map(visitor)
    }
}
