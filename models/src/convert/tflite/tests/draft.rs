//! Writes TFLite files, right ones and others, by the layout of FlatBuffers.

/// A field of a table.
#[derive(Clone)]
pub enum Field {
    Absent,
    Byte(i8),
    Int(i32),
    Text(String),
    Bytes(Vec<u8>),
    Ints(Vec<i32>),
    Table(Vec<Field>),
    Tables(Vec<Vec<Field>>),
}

pub const FLOAT32: i8 = 0;
pub const FLOAT16: i8 = 1;
pub const INT32: i8 = 2;

/// A network that is being written.
#[derive(Default)]
pub struct Draft {
    tensors: Vec<Vec<Field>>,
    operators: Vec<Vec<Field>>,
    codes: Vec<Vec<Field>>,
    buffers: Vec<Vec<Field>>,
}

impl Draft {
    /// A tensor that is computed; its number.
    pub fn computed(&mut self, shape: &[usize]) -> i32 {
        self.tensor(shape, FLOAT32, vec![])
    }

    pub fn floats(&mut self, shape: &[usize], values: &[f32]) -> i32 {
        self.tensor(shape, FLOAT32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub fn tensor(&mut self, shape: &[usize], element: i8, bytes: Vec<u8>) -> i32 {
        let at = self.tensors.len() as i32;
        let name = Field::Text(format!("tensor {at}"));
        let shape = Field::Ints(shape.iter().map(|size| *size as i32).collect());
        self.buffers.push(vec![Field::Bytes(bytes)]);
        self.tensors.push(vec![shape, Field::Byte(element), Field::Int(at), name]);
        at
    }

    /// `union`: the number of the type of its options.
    pub fn operator(&mut self, code: i8, inputs: &[i32], output: i32, (union, options): (i8, &[Field])) {
        self.coded(vec![Field::Byte(code)], inputs, output, (union, options));
    }

    pub fn coded(&mut self, code: Vec<Field>, inputs: &[i32], output: i32, (union, options): (i8, &[Field])) {
        let number = Field::Int(self.codes.len() as i32);
        self.codes.push(code);
        let ends = [inputs, &[output]].map(|ends| Field::Ints(ends.to_vec()));
        let [inputs, output] = ends;
        self.operators.push(vec![number, inputs, output, Field::Byte(union), Field::Table(options.to_vec())]);
    }

    pub fn finish(&self, inputs: &[i32], outputs: &[i32]) -> Vec<u8> {
        let [inputs, outputs] = [inputs, outputs].map(|ends| Field::Ints(ends.to_vec()));
        let graph = vec![Field::Tables(self.tensors.clone()), inputs, outputs, Field::Tables(self.operators.clone())];
        let codes = Field::Tables(self.codes.clone());
        // Last comes what is needed to the last byte: a file that is cut lacks something.
        let buffers = Field::Tables(self.buffers.clone());
        file(&[Field::Int(3), codes, Field::Tables(vec![graph]), Field::Absent, buffers])
    }
}

pub fn file(root: &[Field]) -> Vec<u8> {
    let mut file = b"\0\0\0\0TFL3".to_vec();
    let at = table(&mut file, root);
    file[..4].copy_from_slice(&(at as u32).to_le_bytes());
    file
}

/// Writes the directory, the fields of four bytes each, then what they lead to; where the table begins.
fn table(file: &mut Vec<u8>, fields: &[Field]) -> usize {
    let directory = file.len();
    let length = 4 + 2 * fields.len();
    file.extend((length as u16).to_le_bytes());
    file.extend((4 + 4 * fields.len() as u16).to_le_bytes());
    for (at, field) in fields.iter().enumerate() {
        let offset = if matches!(field, Field::Absent) { 0 } else { 4 + 4 * at as u16 };
        file.extend(offset.to_le_bytes());
    }
    let begin = file.len();
    file.extend(((begin - directory) as i32).to_le_bytes());
    file.resize(begin + 4 + 4 * fields.len(), 0);
    for (at, field) in fields.iter().enumerate() {
        let place = begin + 4 + 4 * at;
        let target = match field {
            Field::Absent => continue,
            Field::Byte(value) => {
                file[place] = value.to_le_bytes()[0];
                continue;
            }
            Field::Int(value) => {
                file[place..place + 4].copy_from_slice(&value.to_le_bytes());
                continue;
            }
            Field::Text(text) => list(file, text.len(), text.as_bytes()),
            Field::Bytes(bytes) => list(file, bytes.len(), bytes),
            Field::Ints(values) => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                list(file, values.len(), &bytes)
            }
            Field::Table(fields) => table(file, fields),
            Field::Tables(tables) => {
                let target = list(file, tables.len(), &vec![0; 4 * tables.len()]);
                for (at, fields) in tables.iter().enumerate() {
                    let own = table(file, fields);
                    offset(file, target + 4 + 4 * at, own);
                }
                target
            }
        };
        offset(file, place, target);
    }
    begin
}

fn list(file: &mut Vec<u8>, count: usize, bytes: &[u8]) -> usize {
    let at = file.len();
    file.extend((count as u32).to_le_bytes());
    file.extend(bytes);
    at
}

fn offset(file: &mut [u8], place: usize, target: usize) {
    file[place..place + 4].copy_from_slice(&((target - place) as u32).to_le_bytes());
}
