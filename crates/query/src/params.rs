//! The query string: decoded strictly, every name known, none twice.

use std::collections::BTreeMap;

use crate::problem::Problem;

/// Bytes of a query string; longer is refused.
pub const QUERY_BYTES_MAX: usize = 64 * 1024;

/// A parameter that a route takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it says, and what is allowed.
    pub about: &'static str,
    /// Whether it may stand there several times.
    pub many: bool,
}

/// The parameters of a request.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Params {
    values: BTreeMap<&'static str, Vec<String>>,
}

impl Params {
    /// Reads a query string by what the route takes.
    ///
    /// # Errors
    ///
    /// 400 with the parameter's name.
    pub fn parse(query: &str, known: &[Param]) -> Result<Params, Problem> {
        if query.len() > QUERY_BYTES_MAX {
            let what = format!("it has {} bytes", query.len());
            let allowed = format!("at most {QUERY_BYTES_MAX} bytes");
            return Err(Problem::malformed("query", what, &allowed));
        }
        let mut params = Params::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).map_err(|what| Problem::malformed("query", what, ""))?;
            let Some(param) = known.iter().find(|param| param.name == name) else {
                let names: Vec<_> = known.iter().map(|param| param.name).collect();
                let allowed = match names.is_empty() {
                    true => "no parameters".to_owned(),
                    false => names.join(", "),
                };
                let what = format!("no parameter {:?} is known", clip(&name));
                return Err(Problem::malformed("query", what, &allowed));
            };
            let value = decode(value).map_err(|what| Problem::malformed(param.name, what, ""))?;
            let values = params.values.entry(param.name).or_default();
            if !values.is_empty() && !param.many {
                return Err(Problem::malformed(
                    param.name,
                    "it stands there twice",
                    "once",
                ));
            }
            values.push(value);
        }
        Ok(params)
    }

    /// The value, if it is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let first = self.values.get(name)?.first()?;
        Some(first.as_str()).filter(|value| !value.is_empty())
    }

    /// All values.
    pub fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// A whole number from 1 to `max`.
    ///
    /// # Errors
    ///
    /// 400.
    pub fn count(&self, name: &'static str, default: usize, max: usize) -> Result<usize, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=max).contains(number));
        number.ok_or_else(|| {
            let allowed = format!("a whole number from 1 to {max}");
            Problem::malformed(name, "it is out of range", &allowed)
        })
    }

    /// An id.
    ///
    /// # Errors
    ///
    /// 400.
    pub fn id<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, Problem> {
        let parse = |text: &str| {
            let parsed = plain_digits(text).and_then(|text| text.parse().ok());
            parsed.ok_or_else(|| Problem::malformed(name, "it is no id", "digits"))
        };
        self.get(name).map(parse).transpose()
    }
}

/// The text, if it is digits and nothing else.
pub(crate) fn plain_digits(text: &str) -> Option<&str> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then_some(text)
}

/// At most 64 characters of what a client sent, for a message.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

/// At most 300 characters of a message that may hold what a client sent.
pub(crate) fn clip_long(text: &str) -> String {
    text.chars().take(300).collect()
}

/// Percent-decoding, `+` as a space; bad escapes, control characters and bytes that are no UTF-8
/// are refused and not repaired.
fn decode(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let pair = digit().zip(digit());
                let (high, low) = pair.ok_or("% is not followed by two hex digits")?;
                (high << 4 | low) as u8
            }
            _ => byte,
        };
        bytes.push(decoded);
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is no UTF-8")?;
    match text.chars().any(char::is_control) {
        true => Err("it holds a control character"),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KNOWN: &[Param] = &[
        Param {
            name: "limit",
            about: "",
            many: false,
        },
        Param {
            name: "filter",
            about: "",
            many: true,
        },
    ];

    #[test]
    fn values_are_decoded_and_kept_in_order() {
        let params = Params::parse("filter=a%3D1&limit=5&filter=b+c&", KNOWN).unwrap();
        assert_eq!(params.all("filter"), ["a=1", "b c"]);
        assert_eq!(params.count("limit", 1, 10).unwrap(), 5);
        assert_eq!(params.get("nothing"), None);
    }

    #[test]
    fn what_is_not_known_or_not_clean_is_refused_by_name() {
        for (query, at) in [
            ("limit=1&limit=2", "limit"),
            ("Limit=1", "query"),
            ("limit=%0", "limit"),
            ("limit=%zz", "limit"),
            ("filter=%00", "filter"),
            ("filter=%ff", "filter"),
            ("%ff=1", "query"),
            ("limit=1;drop", "limit"),
        ] {
            let read = Params::parse(query, KNOWN).and_then(|it| it.count("limit", 1, 10));
            let problem = read.unwrap_err();
            assert_eq!(problem.errors()[0].at, at, "{query}");
        }
        for wrong in ["0", "-1", "11", "9223372036854775808", "1.0", "1e1", "٣"] {
            let params = Params::parse(&format!("limit={wrong}"), KNOWN).unwrap();
            assert!(params.count("limit", 1, 10).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_query_string_makes_it_panic(query in "\\PC{0,200}") {
            let _ = Params::parse(&query, KNOWN);
        }

        #[test]
        fn no_bytes_make_it_panic(query in "[%+&=a-f0-9limterf]{0,80}") {
            if let Ok(params) = Params::parse(&query, KNOWN) {
                let _ = params.count("limit", 1, 10);
                let _ = params.id::<u64>("limit");
            }
        }
    }
}
