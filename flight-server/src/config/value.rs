//! Values with units: `8GiB`, `60%`, `30s`.

use std::{fs, str::FromStr, time::Duration};

use serde::Deserialize;

/// Bytes: `512MiB`, `100 GB`, `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Text")]
pub struct Size(pub u64);

/// Bytes, or a share of the machine's memory: `60%`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Text")]
pub enum Memory {
    Bytes(u64),
    Percent(u64),
}

/// A length of time: `500ms`, `30s`, `5m`, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Text")]
pub struct Span(pub Duration);

/// A value in the file, with or without quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Number(u64),
    Words(String),
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a size; write 512MiB, 8GiB or a number of bytes");
        let (number, unit) = split(text);
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1000,
            "mb" => 1000 * 1000,
            "gb" => 1000 * 1000 * 1000,
            "tb" => 1000 * 1000 * 1000 * 1000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return Err(wrong()),
        };
        let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(factor));
        bytes.map(Self).ok_or_else(wrong)
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().strip_suffix('%') {
            Some(percent) => match percent.trim().parse() {
                Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
                _ => Err(format!("\"{text}\" is not a share; write 1% to 100%")),
            },
            None => match text.parse()? {
                Size(0) => Err("queries need memory".to_owned()),
                Size(bytes) => Ok(Self::Bytes(bytes)),
            },
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a length of time; write 500ms, 30s, 5m or 2h");
        let (number, unit) = split(text);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let milliseconds = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1000),
            "m" | "min" => number.checked_mul(60 * 1000),
            "h" => number.checked_mul(60 * 60 * 1000),
            "" if number == 0 => Some(0),
            _ => None,
        };
        milliseconds.map(Duration::from_millis).map(Self).ok_or_else(wrong)
    }
}

/// That share of the memory which this process may use: the machine's, or less in a container.
pub fn share_of_machine(percent: u64) -> Result<usize, String> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
    });
    let machine =
        machine.ok_or("the machine does not tell its memory; write a size such as 8GiB instead of a share")?;
    let container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let container = container.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    let bytes = container.map_or(machine, |container| container.min(machine)) / 100 * percent;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

macro_rules! from_text {
    ($($value:ty)*) => {
        $(impl TryFrom<Text> for $value {
            type Error = String;

            fn try_from(text: Text) -> Result<Self, String> {
                match text {
                    Text::Number(number) => number.to_string().parse(),
                    Text::Words(words) => words.parse(),
                }
            }
        })*
    };
}

from_text!(Size Memory Span);
