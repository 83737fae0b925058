//! The recorded and golden bytes of `testkit/vectors`, of which the seeds are made.

use std::path::{Path, PathBuf};

use serde_json::Value;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testkit/vectors")
        .join(name)
}

/// A vector file.
///
/// # Panics
/// If it is missing, here as below: then the seeds would silently be fewer.
#[must_use]
pub fn bytes(name: &str) -> Vec<u8> {
    let path = path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A vector file of text.
#[must_use]
pub fn text(name: &str) -> String {
    String::from_utf8(bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A vector file of one JSON value.
#[must_use]
pub fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A vector file of one JSON value a line.
#[must_use]
pub fn json_lines(name: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}"));
    text(name).lines().map(parse).collect()
}

/// Names of the files and folders in a folder of vectors, sorted.
#[must_use]
pub fn names(folder: &str) -> Vec<String> {
    let entries =
        std::fs::read_dir(path(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Bytes from hexadecimal digits; blanks between them are skipped. Empty for anything else.
#[must_use]
pub fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<char> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16);
    digits
        .chunks(2)
        .map(byte)
        .collect::<Result<_, _>>()
        .unwrap_or_default()
}

/// The strings of a JSON array.
#[must_use]
pub fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
