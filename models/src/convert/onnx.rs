//! Writes ONNX files: the messages of `onnx.proto3` (IR version 8, operator set 17) that a network of convolutions needs.

use super::torch::Tensor;

/// The fields of a Protocol Buffers message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
    fn number(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }
    fn bytes(&mut self, field: u64, bytes: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }
    fn text(&mut self, field: u64, text: &str) -> &mut Self {
        self.bytes(field, text.as_bytes())
    }
    fn message(&mut self, field: u64, message: &Message) -> &mut Self {
        self.bytes(field, &message.0)
    }
}

/// The type of 32-bit floats.
const FLOAT: u64 = 1;

/// The type of 64-bit whole numbers.
const INT64: u64 = 7;

/// A value of an attribute.
pub enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Text(&'a str),
}

/// A size of a tensor.
pub enum Size {
    /// Any, by this name.
    Any(&'static str),
    Is(u64),
}

/// A graph that is being written.
#[derive(Default)]
pub struct Graph(Message);

impl Graph {
    pub fn input(&mut self, name: &str, shape: &[Size]) {
        self.0.message(11, &value_info(name, FLOAT, shape));
    }
    pub fn output(&mut self, name: &str, shape: &[Size]) {
        self.0.message(12, &value_info(name, FLOAT, shape));
    }
    /// An input of another type: a number of `TensorProto.DataType`.
    #[cfg(test)]
    pub fn input_of(&mut self, element: u64, name: &str, shape: &[Size]) {
        self.0.message(11, &value_info(name, element, shape));
    }
    #[cfg(test)]
    pub fn output_of(&mut self, element: u64, name: &str, shape: &[Size]) {
        self.0.message(12, &value_info(name, element, shape));
    }
    pub fn constant(&mut self, name: &str, tensor: &Tensor) {
        let mut message = Message::default();
        for size in &tensor.shape {
            message.number(1, *size as u64);
        }
        let raw: Vec<u8> = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        message.number(2, FLOAT).text(8, name).bytes(9, &raw);
        self.0.message(5, &message);
    }
    /// A list of whole numbers, which some operators take where others have attributes.
    pub fn integers(&mut self, name: &str, values: &[i64]) {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut message = Message::default();
        message.number(1, values.len() as u64).number(2, INT64).text(8, name).bytes(9, &raw);
        self.0.message(5, &message);
    }
    /// An operator; its output has its name.
    pub fn node(&mut self, operator: &str, name: &str, inputs: &[&str], attributes: &[(&str, Attribute<'_>)]) {
        let mut message = Message::default();
        for input in inputs {
            message.text(1, input);
        }
        message.text(2, name).text(3, name).text(4, operator);
        for (key, value) in attributes {
            let mut attribute = Message::default();
            attribute.text(1, key);
            match value {
                Attribute::Int(value) => attribute.number(3, *value as u64).number(20, 2),
                Attribute::Text(value) => attribute.text(4, value).number(20, 3),
                Attribute::Ints(values) => {
                    for value in *values {
                        attribute.number(8, *value as u64);
                    }
                    attribute.number(20, 7)
                }
            };
            message.message(5, &attribute);
        }
        self.0.message(1, &message);
    }
    /// The file, with notes in it: `metadata_props`.
    #[cfg(test)]
    pub fn finish_with(self, name: &str, notes: &[(&str, &str)]) -> Vec<u8> {
        let mut model = Message(self.finish(name));
        for (key, value) in notes {
            let mut note = Message::default();
            note.text(1, key).text(2, value);
            model.message(14, &note);
        }
        model.0
    }
    /// The file.
    pub fn finish(mut self, name: &str) -> Vec<u8> {
        self.0.text(2, name);
        let mut operators = Message::default();
        operators.text(1, "").number(2, 17);
        let mut model = Message::default();
        model.number(1, 8).text(2, "jarvis").message(7, &self.0).message(8, &operators);
        model.0
    }
}

fn value_info(name: &str, element: u64, shape: &[Size]) -> Message {
    let mut sizes = Message::default();
    for size in shape {
        let mut dimension = Message::default();
        match size {
            Size::Is(size) => dimension.number(1, *size),
            Size::Any(name) => dimension.text(2, name),
        };
        sizes.message(1, &dimension);
    }
    let mut tensor = Message::default();
    tensor.number(1, element).message(2, &sizes);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut info = Message::default();
    info.text(1, name).message(2, &kind);
    info
}
