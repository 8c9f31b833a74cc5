//! Values as people write them: where a key takes a number, a text such as `20k` or `1T` is one, too, and `1e6` is a whole number.
//!
//! [`Written`] stands between a TOML value and the type that is read from it. What that type asks for tells whether a number is wanted, so
//! no type needs to know. Types that take values of several kinds (`untagged`) ask for none of them and see the text.

use std::fmt;

use headwater_record::number;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

/// The largest float below which every whole number is exact.
const EXACT: f64 = (1_u64 << 53) as f64;

/// A deserializer, or a part of one, whose texts may be numbers.
pub(crate) struct Written<T>(pub(crate) T);

/// A visitor that is shown the parts of what it visits through [`Written`], and texts as numbers if `wanted` says so.
struct Reading<V> {
    visitor: V,
    wanted: Wanted,
}

/// What a type asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Anything,
    Whole,
    Real,
    Table,
    Values(usize),
}

macro_rules! asks {
    ($($method:ident => $wanted:ident),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.deserialize_any(Reading { visitor, wanted: Wanted::$wanted })
        }
    )*};
}

macro_rules! forwards {
    ($($method:ident($($argument:ident: $type:ty),*)),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($argument,)* Reading { visitor, wanted: Wanted::Anything })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Written<D> {
    type Error = D::Error;

    asks! {
        deserialize_i8 => Whole, deserialize_i16 => Whole, deserialize_i32 => Whole, deserialize_i64 => Whole,
        deserialize_u8 => Whole, deserialize_u16 => Whole, deserialize_u32 => Whole, deserialize_u64 => Whole,
        deserialize_f32 => Real, deserialize_f64 => Real,
    }

    forwards! {
        deserialize_any(), deserialize_bool(), deserialize_char(), deserialize_str(), deserialize_string(), deserialize_bytes(),
        deserialize_byte_buf(), deserialize_option(), deserialize_unit(), deserialize_seq(), deserialize_map(),
        deserialize_identifier(), deserialize_ignored_any(), deserialize_unit_struct(name: &'static str),
        deserialize_newtype_struct(name: &'static str),         deserialize_tuple_struct(name: &'static str, length: usize),
        deserialize_enum(name: &'static str, variants: &'static [&'static str]),
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(length, Reading { visitor, wanted: Wanted::Values(length) })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, Reading { visitor, wanted: Wanted::Table })
    }
}

macro_rules! shows {
    ($($method:ident($type:ty)),* $(,)?) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.visitor.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Reading<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wanted {
            Wanted::Anything | Wanted::Values(_) => self.visitor.expecting(f),
            Wanted::Whole => f.write_str("a whole number"),
            Wanted::Real => f.write_str("a number"),
            Wanted::Table => f.write_str("a table"),
        }
    }

    shows! {
        visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_i128(i128), visit_u128(u128), visit_char(char), visit_bytes(&[u8]),
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        if self.wanted != Wanted::Whole {
            return self.visitor.visit_f64(value);
        }
        if value.fract() != 0.0 || !(-EXACT..=EXACT).contains(&value) {
            return Err(E::invalid_type(Unexpected::Float(value), &self));
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole, and at most 2^53 either way")]
        self.visitor.visit_i64(value as i64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        match self.wanted {
            Wanted::Anything | Wanted::Table | Wanted::Values(_) => self.visitor.visit_str(text),
            Wanted::Whole => self.visitor.visit_u64(number::whole(text).map_err(E::custom)?),
            Wanted::Real => self.visitor.visit_f64(number::real(text).map_err(E::custom)?),
        }
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        if self.wanted == Wanted::Anything { self.visitor.visit_borrowed_str(text) } else { self.visit_str(text) }
    }

    fn visit_string<E: Error>(self, text: String) -> Result<V::Value, E> {
        if self.wanted == Wanted::Anything { self.visitor.visit_string(text) } else { self.visit_str(&text) }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Written(value))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Written(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<V::Value, A::Error> {
        // serde would take the items of a list for the fields of a struct
        if self.wanted == Wanted::Table {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        let value = self.visitor.visit_seq(Written(&mut items))?;
        // toml passes over what a tuple does not take
        match self.wanted {
            Wanted::Values(length) if items.next_element::<IgnoredAny>()?.is_some() => {
                Err(A::Error::custom(format!("write a list of {length} values in brackets, not of more")))
            }
            _ => Ok(value),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Written(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(variant)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Written<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Written(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Written<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(Written(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Written<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Written(deserializer))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Table {
        whole: usize,
        maybe: Option<u32>,
        real: f64,
        all: Vec<u64>,
        text: String,
    }

    fn read(text: &str) -> Result<Table, toml::de::Error> {
        Table::deserialize(Written(toml::Deserializer::parse(text)?))
    }

    #[test]
    fn a_text_is_a_number_where_one_is_asked_for() {
        let text = "whole = \"20k\"\nmaybe = \"1_000\"\nreal = \"1T\"\nall = [1, 2e3, \"3k\"]\ntext = \"20k\"\n";
        let table =
            Table { whole: 20_000, maybe: Some(1000), real: 1e12, all: vec![1, 2000, 3000], text: "20k".to_owned() };
        assert_eq!(read(text), Ok(table));
    }

    #[test]
    fn what_is_no_such_number_is_told_with_its_place() {
        for (written, said) in [
            ("1.5", "invalid type: floating point `1.5`, expected a whole number"),
            ("\"some\"", "`some` is not a whole number: write it as 1000, 1_000"),
            ("true", "expected"),
            ("-1", "expected"),
            ("1e300", "expected a whole number"),
        ] {
            let text = format!("maybe = 1\nwhole = {written}\nreal = 1\nall = []\ntext = \"\"\n");
            let error = read(&text).expect_err(written);
            assert!(error.message().contains(said), "{written}: {error}");
            let at = error.span().map(|span| span.start);
            assert_eq!(at, text.find(written), "{written}: {error}");
        }
        assert!(read("whole = 1\nmaybe = \"5B\"\nreal = 1\nall = []\ntext = \"\"").is_err(), "above 32 bits");
    }
}
