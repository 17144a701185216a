//! The configuration from TOML, or from any other format that serde reads.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::settings::{KEYS, Key};
use super::spelling::nearest;
use super::{Config, ConfigError};

impl Config {
    /// Reads a TOML document whose keys are those of [`Config`].
    ///
    /// ```
    /// use iolite::{BackendChoice, Config};
    ///
    /// let config = Config::from_toml("backend = 'evented'\nexecutors = 2\nstack_size = '128KiB'")?;
    /// assert_eq!(config.backend, Some(BackendChoice::Evented));
    /// assert_eq!(config.stack_size, Some(128 << 10));
    ///
    /// let error = Config::from_toml("executers = 2").unwrap_err();
    /// assert_eq!(error.to_string(), "1:1: executers: unknown key; the nearest known one is executors");
    /// # Ok::<(), iolite::ConfigError>(())
    /// ```
    ///
    /// A program with a configuration file of its own can make `Config` a field of the type that it reads with serde,
    /// because `Config` implements `Deserialize`.
    ///
    /// # Errors
    ///
    /// One line with the line, the column and the key. The causes are an unknown key, a bad value, a combination of
    /// settings that is impossible, and text that is not valid TOML.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(" ");
            ConfigError(match error.span() {
                Some(span) => format!("{}: {message}", position(text, span.start)),
                None => message,
            })
        })
    }

    /// Reads a TOML file, as [`from_toml`](Self::from_toml) reads a text. It blocks its thread, so call it at the
    /// beginning of a program.
    ///
    /// # Errors
    ///
    /// Those of `from_toml`, after the path; or the reason why the file cannot be read.
    pub fn from_toml_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|error| ConfigError(format!("{}: {error}", path.display())))?;
        Self::from_toml(&text).map_err(|error| ConfigError(format!("{}:{error}", path.display())))
    }
}

/// Returns `line:column` of a byte, both counted from 1.
fn position(text: &str, byte: usize) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    format!("{}:{}", before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Table)
    }
}

/// The visitor that reads the table.
struct Table;

impl<'de> Visitor<'de> for Table {
    type Value = Config;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of iolite's settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Config, A::Error> {
        let mut config = Config::new();
        while let Some(key) = table.next_key_seed(KeyName)? {
            table.next_value_seed(Value { key, config: &mut config })?;
        }
        config.find_fault().map_or(Ok(config), |fault| Err(A::Error::custom(ConfigError::from(fault))))
    }
}

/// Reads the name of a key. It is a seed, so that an error gets the position of the key.
struct KeyName;

impl<'de> DeserializeSeed<'de> for KeyName {
    type Value = &'static Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static Key, D::Error> {
        let name = String::deserialize(deserializer)?;
        KEYS.iter().find(|key| key.name == name).ok_or_else(|| {
            let nearest = nearest(&name, KEYS.iter().map(|key| key.name));
            D::Error::custom(format!("{name}: unknown key; the nearest known one is {nearest}"))
        })
    }
}

/// Reads the value of a key, a string or a number. It is a seed, so that an error gets the position of the value.
struct Value<'a> {
    key: &'static Key,
    config: &'a mut Config,
}

impl Value<'_> {
    fn set<E: Error>(self, text: &str) -> Result<(), E> {
        self.key.set(self.config, text).map_err(|what| E::custom(format!("{}: {what}", self.key.name)))
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string or a whole number for {}", self.key.name)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.set(text)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.set(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.set(&number.to_string())
    }
}
