//! One setting's value, read as what it must be.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::written::{Setting, Value, Wrong};

/// A setting on its way to its meaning.
pub(crate) struct Field<'a> {
    pub(super) path: String,
    pub(super) setting: &'a Setting,
}

impl Field<'_> {
    /// An error about this setting.
    pub(crate) fn wrong(&self, what: &str) -> Wrong {
        Wrong::about(&self.path, self.setting, what)
    }

    /// The value is none of those allowed.
    pub(crate) fn not_allowed(&self) -> Wrong {
        self.wrong(&format!("{} is not allowed", self.setting.value))
    }

    /// An integer within bounds.
    pub(crate) fn integer<T: TryFrom<i64>>(&self, least: i64, most: i64) -> Result<T, Wrong> {
        let Value::Integer(number) = self.setting.value else {
            return Err(self.not_allowed());
        };
        let inside = (least..=most).contains(&number).then_some(number);
        inside
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| self.not_allowed())
    }

    /// Text, or none when it is empty.
    pub(crate) fn optional_text(&self) -> Result<Option<String>, Wrong> {
        let text = self.text()?;
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// One of some words.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Wrong> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| self.not_allowed())
    }

    /// Address and port.
    pub(crate) fn address(&self) -> Result<SocketAddr, Wrong> {
        self.text()?.parse().map_err(|_| self.not_allowed())
    }

    /// A list of addresses and ports.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, Wrong> {
        self.list()
    }

    /// A list of networks.
    pub(crate) fn networks(&self) -> Result<Vec<IpNet>, Wrong> {
        self.list()
    }

    /// A time with its unit, within bounds that are spelt the same way.
    pub(crate) fn duration(&self, least: &str, most: &str) -> Result<Duration, Wrong> {
        let spelt = self.text()?;
        let read = |text: &str| quantity(text, &TIMES).map(Duration::from_millis);
        self.bounded(spelt, read, least, most, "ms, s, m, h or d")
    }

    /// A size with its unit, within bounds that are spelt the same way.
    pub(crate) fn bytes<T: TryFrom<u64>>(&self, least: &str, most: &str) -> Result<T, Wrong> {
        let read = |text: &str| quantity(text, &SIZES);
        let bytes = self.bounded(self.text()?, read, least, most, "B, KiB, MiB or GiB")?;
        T::try_from(bytes).map_err(|_| self.not_allowed())
    }

    fn bounded<T: PartialOrd>(
        &self,
        spelt: &str,
        read: impl Fn(&str) -> Option<T>,
        least: &str,
        most: &str,
        units: &str,
    ) -> Result<T, Wrong> {
        let what = || {
            self.wrong(&format!(
                "\"{spelt}\" is not a whole number and a unit ({units})"
            ))
        };
        let value = read(spelt).ok_or_else(what)?;
        let inside = read(least).is_some_and(|least| value >= least)
            && read(most).is_some_and(|most| value <= most);
        inside.then_some(value).ok_or_else(|| self.not_allowed())
    }

    fn text(&self) -> Result<&str, Wrong> {
        match &self.setting.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.not_allowed()),
        }
    }

    fn list<T: std::str::FromStr>(&self) -> Result<Vec<T>, Wrong> {
        let Value::List(items) = &self.setting.value else {
            return Err(self.not_allowed());
        };
        let not_allowed = |item: &String| self.wrong(&format!("\"{item}\" is not allowed"));
        items
            .iter()
            .map(|item| item.parse().map_err(|_| not_allowed(item)))
            .collect()
    }
}

/// Milliseconds a unit.
const TIMES: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Bytes a unit.
const SIZES: [(&str, u64); 4] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("B", 1),
];

/// Digits and a unit, nothing between, before or after.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, each) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*each)
}

/// A time in the largest unit that holds it whole.
pub(crate) fn spell_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let whole = |each: &&(&str, u64)| millis.is_multiple_of(u128::from(each.1));
    let (unit, each) = TIMES.iter().rev().find(whole).unwrap_or(&("ms", 1));
    format!("{}{unit}", millis / u128::from(*each))
}
