//! The header of a GGUF file: what it says of a model, and where its tensors lie.
//!
//! Nothing is trusted: every length is checked against the bytes that are left before anything is made of it.
//!
//! Source: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3.

use std::collections::BTreeMap;

use candle_core::quantized::gguf_file::Value;

/// The first four bytes.
const MAGIC: [u8; 4] = *b"GGUF";

/// The most dimensions of a tensor.
const MOST_DIMENSIONS: u32 = 4;

/// How deep lists may lie in lists.
const MOST_DEPTH: usize = 4;

/// Tensors begin at a multiple of this, unless `general.alignment` says otherwise.
const ALIGNMENT: u64 = 32;

/// The key that says what they begin at multiples of.
const ALIGNMENT_KEY: &str = "general.alignment";

/// The header of a file.
#[derive(Debug)]
pub(super) struct Header {
    /// What it says, by key.
    pub(super) values: BTreeMap<String, Value>,
    /// Its tensors, by name.
    pub(super) tensors: BTreeMap<String, Stored>,
}

/// A tensor in the file.
#[derive(Debug)]
pub(super) struct Stored {
    /// Shape, the slowest dimension first.
    pub(super) dims: Vec<usize>,
    /// What its numbers are stored as, by ggml's number.
    pub(super) kind: u32,
    /// First byte in the file.
    pub(super) start: u64,
}

impl Header {
    /// Reads the header at the beginning of `bytes`; what is wrong with it otherwise.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = Reader { rest: bytes };
        if reader.take(4)? != MAGIC {
            return Err("it does not begin with `GGUF`".to_owned());
        }
        let version = reader.u32()?;
        if !(2..=3).contains(&version) {
            return Err(if (1..=3).contains(&version.swap_bytes()) {
                "it is big-endian; convert it for little-endian machines".to_owned()
            } else {
                format!("it is of version {version}; versions 2 and 3 are read")
            });
        }
        let (tensors, pairs) = (reader.u64()?, reader.u64()?);
        let mut values = BTreeMap::new();
        for _ in 0..pairs {
            let key = reader.text()?;
            let kind = reader.u32()?;
            values.insert(key, reader.value(kind, 0)?);
        }
        let mut stored = BTreeMap::new();
        for _ in 0..tensors {
            let name = reader.text()?;
            let tensor = reader.tensor(&name)?;
            stored.insert(name, tensor);
        }
        let alignment = match values.get(ALIGNMENT_KEY).map(super::GgufFile::integer) {
            None => ALIGNMENT,
            Some(Some(0)) => return Err(format!("`{ALIGNMENT_KEY}` is 0")),
            Some(Some(alignment)) => alignment,
            Some(None) => return Err(format!("`{ALIGNMENT_KEY}` is no whole number")),
        };
        let header = (bytes.len() - reader.rest.len()) as u64;
        let data = header.checked_next_multiple_of(alignment).ok_or("its alignment is beyond the file")?;
        for (name, tensor) in &mut stored {
            let start = tensor.start.checked_add(data).filter(|start| *start <= bytes.len() as u64);
            tensor.start = start.ok_or_else(|| format!("tensor `{name}` begins beyond the end of the file"))?;
        }
        Ok(Self { values, tensors: stored })
    }
}

/// Reads numbers and texts from the front of bytes.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("it ends inside its header")?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64)?);
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    /// A text; zeros at its end are dropped, which some writers add.
    fn text(&mut self) -> Result<String, String> {
        let length = self.u64()?;
        let text = String::from_utf8_lossy(self.take(length)?);
        Ok(text.trim_end_matches('\0').to_owned())
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Value, String> {
        Ok(match kind {
            0 => Value::U8(self.array::<1>()?[0]),
            1 => Value::I8(i8::from_le_bytes(self.array()?)),
            2 => Value::U16(u16::from_le_bytes(self.array()?)),
            3 => Value::I16(i16::from_le_bytes(self.array()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.array()?)),
            6 => Value::F32(f32::from_le_bytes(self.array()?)),
            7 => Value::Bool(self.array::<1>()?[0] != 0),
            8 => Value::String(self.text()?),
            9 if depth < MOST_DEPTH => {
                let (kind, count) = (self.u32()?, self.u64()?);
                // every value takes a byte at least, so a count beyond the file fails before it is believed
                let most = usize::try_from(count).unwrap_or(usize::MAX).min(self.rest.len());
                let mut values = Vec::with_capacity(most.min(1 << 16));
                for _ in 0..count {
                    values.push(self.value(kind, depth + 1)?);
                }
                Value::Array(values)
            }
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.array()?)),
            12 => Value::F64(f64::from_le_bytes(self.array()?)),
            9 => return Err(format!("lists lie more than {MOST_DEPTH} deep in lists")),
            other => return Err(format!("it holds a value of the unknown type {other}")),
        })
    }

    fn tensor(&mut self, name: &str) -> Result<Stored, String> {
        let count = self.u32()?;
        if count > MOST_DIMENSIONS {
            return Err(format!("tensor `{name}` has {count} dimensions"));
        }
        let mut dims = Vec::new();
        for _ in 0..count {
            dims.push(usize::try_from(self.u64()?).map_err(|_| format!("tensor `{name}` is larger than memory"))?);
        }
        dims.reverse();
        Ok(Stored { dims, kind: self.u32()?, start: self.u64()? })
    }
}
