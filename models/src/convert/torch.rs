//! Tensors out of a file of `torch.save`, in the form of before PyTorch 1.6: five pickles (a magic number, the protocol,
//! the machine, the object, the keys of the storages), then the storages, each a count and its numbers, little-endian.
//!
//! The pickles are read by a machine that knows a dictionary of tensors of 32-bit floats and nothing else: it runs no code.

use anyhow::{Context, bail, ensure};
use std::collections::{BTreeMap, HashMap};

/// A tensor of 32-bit floats, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// By name.
pub type Tensors = BTreeMap<String, Tensor>;

/// # Errors
/// The bytes are no such file, or hold something else than tensors of floats.
pub fn read(bytes: &[u8]) -> anyhow::Result<Tensors> {
    let mut reader = Reader { bytes, at: 0 };
    let Value::Long(magic) = reader.pickle()? else { bail!("it does not begin with the number of PyTorch") };
    ensure!(magic == MAGIC, "it does not begin with the number of PyTorch");
    ensure!(reader.pickle()? == Value::Int(1001), "its protocol is not 1001");
    reader.pickle()?;
    let Value::Dict(entries) = reader.pickle()? else { bail!("it holds no dictionary") };
    let Value::List(keys) = reader.pickle()? else { bail!("it does not list its storages") };
    let mut views: Vec<(String, View)> = vec![];
    for entry in entries {
        if let (Value::Text(name), Value::View(view)) = entry {
            views.push((name, view));
        }
    }
    let mut storages: HashMap<String, Vec<f32>> = HashMap::new();
    for key in keys {
        let Value::Text(key) = key else { bail!("the key of a storage is no text") };
        let count = usize::try_from(i64::from_le_bytes(reader.take()?))?;
        // Counters are longer numbers, and no weights.
        let is_float = views.iter().any(|(_, view)| view.storage == key && view.is_float);
        let bytes = reader.slice(count.checked_mul(if is_float { 4 } else { 8 }).context("a storage is too large")?)?;
        if is_float {
            let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            storages.insert(key, values.collect());
        }
    }
    let gathered = views.into_iter().filter(|(_, view)| view.is_float).map(|(name, view)| {
        let storage = storages.get(&view.storage).with_context(|| format!("the tensor {name} has no storage"))?;
        let tensor = view.gather(storage).with_context(|| format!("the tensor {name}"))?;
        Ok((name, tensor))
    });
    gathered.collect()
}

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

#[derive(Clone, Debug, PartialEq)]
enum Value {
    None,
    Bool,
    Int(i64),
    /// The bytes of a long number.
    Long([u8; 10]),
    Text(String),
    Global(String),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage {
        key: String,
        is_float: bool,
    },
    View(View),
    Mark,
}

/// Where a tensor's numbers lie in a storage.
#[derive(Clone, Debug, PartialEq)]
struct View {
    storage: String,
    is_float: bool,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl View {
    fn gather(&self, storage: &[f32]) -> anyhow::Result<Tensor> {
        ensure!(self.shape.len() == self.strides.len(), "has another number of strides than of dimensions");
        let count = self.shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d)).context("is too large")?;
        ensure!(count <= storage.len(), "has more numbers than its storage");
        let mut values = Vec::with_capacity(count);
        for n in 0..count {
            let (mut rest, mut at) = (n, self.offset);
            for (size, stride) in self.shape.iter().zip(&self.strides).rev() {
                at += rest % size * stride;
                rest /= size;
            }
            values.push(*storage.get(at).context("reaches beyond its storage")?);
        }
        Ok(Tensor { shape: self.shape.clone(), values })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        Ok(self.slice(N)?.try_into()?)
    }
    fn slice(&mut self, count: usize) -> anyhow::Result<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.context("it ends too early")?;
        let bytes = self.bytes;
        let slice = &bytes[self.at..end];
        self.at = end;
        Ok(slice)
    }
    fn line(&mut self) -> anyhow::Result<String> {
        let length = self.bytes[self.at..].iter().position(|b| *b == b'\n').context("it ends too early")?;
        let line = String::from_utf8_lossy(self.slice(length)?).into_owned();
        self.at += 1;
        Ok(line)
    }

    /// Runs one pickle to its end.
    fn pickle(&mut self) -> anyhow::Result<Value> {
        let mut stack: Vec<Value> = vec![];
        let mut memo: HashMap<u32, Value> = HashMap::new();
        loop {
            let [code] = self.take()?;
            match code {
                // PROTO
                0x80 => drop(self.take::<1>()?),
                b'.' => return stack.pop().context("it says nothing"),
                b'(' => stack.push(Value::Mark),
                b'N' => stack.push(Value::None),
                0x88 | 0x89 => stack.push(Value::Bool),
                b'K' => stack.push(Value::Int(self.take::<1>()?[0].into())),
                b'M' => stack.push(Value::Int(u16::from_le_bytes(self.take()?).into())),
                b'J' => stack.push(Value::Int(i32::from_le_bytes(self.take()?).into())),
                // LONG1
                0x8a => {
                    ensure!(self.take::<1>()? == [10], "it has a number of another length");
                    stack.push(Value::Long(self.take()?));
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.take()?) as usize;
                    stack.push(Value::Text(String::from_utf8(self.slice(length)?.to_vec())?));
                }
                b'c' => {
                    let name = format!("{}.{}", self.line()?, self.line()?);
                    stack.push(Value::Global(name));
                }
                b')' => stack.push(Value::Tuple(vec![])),
                b']' => stack.push(Value::List(vec![])),
                b'}' => stack.push(Value::Dict(vec![])),
                b't' => {
                    let items = since_mark(&mut stack)?;
                    stack.push(Value::Tuple(items));
                }
                // TUPLE1 and TUPLE2
                0x85 | 0x86 => {
                    let items = stack.split_off(stack.len().saturating_sub(usize::from(code - 0x84)));
                    stack.push(Value::Tuple(items));
                }
                b'q' => drop(memo.insert(self.take::<1>()?[0].into(), top(&stack)?.clone())),
                b'r' => drop(memo.insert(u32::from_le_bytes(self.take()?), top(&stack)?.clone())),
                b'h' => stack.push(memo.get(&self.take::<1>()?[0].into()).context("it names nothing")?.clone()),
                b'j' => stack.push(memo.get(&u32::from_le_bytes(self.take()?)).context("it names nothing")?.clone()),
                b'e' => {
                    let items = since_mark(&mut stack)?;
                    let Some(Value::List(list)) = stack.last_mut() else { bail!("it appends to no list") };
                    list.extend(items);
                }
                b's' | b'u' => {
                    let items = if code == b's' {
                        stack.split_off(stack.len().saturating_sub(2))
                    } else {
                        since_mark(&mut stack)?
                    };
                    let Some(Value::Dict(dict)) = stack.last_mut() else { bail!("it sets in no dictionary") };
                    let mut items = items.into_iter();
                    while let (Some(key), Some(value)) = (items.next(), items.next()) {
                        dict.push((key, value));
                    }
                }
                // BUILD: attributes of the dictionary, of no interest.
                b'b' => drop(stack.pop()),
                // BINPERSID
                b'Q' => {
                    let named = stack.pop().context("it names no storage")?;
                    stack.push(storage_of(named)?);
                }
                b'R' => {
                    let (arguments, made) = (stack.pop(), stack.pop());
                    let (Some(Value::Tuple(arguments)), Some(Value::Global(made))) = (arguments, made) else {
                        bail!("it calls no function")
                    };
                    stack.push(call(&made, arguments)?);
                }
                other => bail!("it has the code {other:#x} of a pickle, which no dictionary of tensors needs"),
            }
        }
    }
}

fn top(stack: &[Value]) -> anyhow::Result<&Value> {
    stack.last().context("it keeps nothing")
}

fn since_mark(stack: &mut Vec<Value>) -> anyhow::Result<Vec<Value>> {
    let mark = stack.iter().rposition(|value| *value == Value::Mark).context("it ends what it has not begun")?;
    let items = stack.split_off(mark + 1);
    stack.pop();
    Ok(items)
}

/// ("storage", class, key, device, count, view)
fn storage_of(named: Value) -> anyhow::Result<Value> {
    let Value::Tuple(parts) = named else { bail!("it names no storage") };
    match parts.as_slice() {
        [Value::Text(what), Value::Global(class), Value::Text(key), ..] if what == "storage" => {
            Ok(Value::Storage { key: key.clone(), is_float: class == "torch.FloatStorage" })
        }
        _ => bail!("it names no storage"),
    }
}

fn call(name: &str, arguments: Vec<Value>) -> anyhow::Result<Value> {
    match (name, arguments.as_slice()) {
        ("collections.OrderedDict", []) => Ok(Value::Dict(vec![])),
        (
            "torch._utils._rebuild_tensor_v2",
            [Value::Storage { key, is_float }, Value::Int(offset), Value::Tuple(shape), Value::Tuple(strides), ..],
        ) => Ok(Value::View(View {
            storage: key.clone(),
            is_float: *is_float,
            offset: usize::try_from(*offset)?,
            shape: sizes(shape)?,
            strides: sizes(strides)?,
        })),
        _ => bail!("it calls {name}, which no dictionary of tensors needs"),
    }
}

fn sizes(values: &[Value]) -> anyhow::Result<Vec<usize>> {
    let size = |value: &Value| match value {
        Value::Int(size) => Ok(usize::try_from(*size)?),
        _ => bail!("a size is no number"),
    };
    values.iter().map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `torch.save({"w": tensor of 2×2, column-major}, _use_new_zipfile_serialization=False)` writes.
    fn saved() -> Vec<u8> {
        let mut bytes = vec![0x80, 2, 0x8a, 10];
        bytes.extend(MAGIC);
        bytes.extend(b".\x80\x02M\xe9\x03.\x80\x02}q\x00.");
        bytes.extend(b"\x80\x02}q\x00X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage");
        bytes.extend(
            b"ctorch\nFloatStorage\nX\x01\x00\x00\x007X\x03\x00\x00\x00cpuK\x04NtQK\x00K\x02K\x02\x86K\x01K\x02\x86",
        );
        bytes.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
        bytes.extend(b"\x80\x02]q\x00(X\x01\x00\x00\x007e.");
        bytes.extend(4_i64.to_le_bytes());
        bytes.extend([1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()));
        bytes
    }

    #[test]
    fn a_tensor_is_read_in_the_order_of_its_strides() {
        let tensors = read(&saved()).unwrap();
        assert_eq!(tensors["w"], Tensor { shape: vec![2, 2], values: vec![1.0, 3.0, 2.0, 4.0] });
    }

    #[test]
    fn what_is_cut_or_calls_something_else_is_refused() {
        let whole = saved();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
        let text = String::from_utf8_lossy(&whole).find("_rebuild_tensor_v2").unwrap();
        let mut other = whole;
        other[text + 20] = b'X';
        assert!(read(&other).is_err());
    }
}
