//! The class of a user agent, from a table of words (`agents.txt`).
//!
//! The class is a derived fact: it is stamped with the table's version and never computed again,
//! so a better table changes no old outcome.

use memchr::memmem::Finder;
use thiserror::Error;
use tollgate_click::limits::AGENT_BYTES_MAX;
use tollgate_click::{AgentClass, DataSetId};

/// Agents of which a thread remembers the class.
const REMEMBERED: usize = 4096;
const _: () = assert!(REMEMBERED.is_power_of_two());

/// The table, with a memory of what it has said.
#[derive(Clone, Debug)]
pub struct AgentTable {
    version: DataSetId,
    lines: Vec<Line>,
    lower: Vec<u8>,
    remembered: Vec<Option<(u64, AgentClass)>>,
}

#[derive(Clone, Debug)]
struct Line {
    class: AgentClass,
    words: Vec<Finder<'static>>,
}

/// A line of the table that is no class with words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("agents.txt line {0} is not a known class followed by words")]
pub struct BadTable(pub usize);

impl AgentTable {
    /// The table that this build carries.
    pub fn built_in() -> Result<AgentTable, BadTable> {
        AgentTable::parse(include_str!("agents.txt"))
    }

    /// Reads a table.
    pub fn parse(text: &str) -> Result<AgentTable, BadTable> {
        let mut version = None;
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let bad = BadTable(index + 1);
            let mut words = line.split_whitespace().filter(|_| !line.starts_with('#'));
            let Some(class) = words.next() else { continue };
            if class == "version" {
                let number = words.next().and_then(|word| word.parse().ok());
                version = Some(DataSetId(number.ok_or(bad)?));
                continue;
            }
            let class = AgentClass::ALL
                .into_iter()
                .find(|known| known.name() == class);
            let words: Vec<_> = words
                .map(|word| Finder::new(&word.replace('_', " ")).into_owned())
                .collect();
            if words.is_empty() {
                return Err(bad);
            }
            lines.push(Line {
                class: class.ok_or(bad)?,
                words,
            });
        }
        Ok(AgentTable {
            version: version.ok_or(BadTable(0))?,
            lines,
            lower: Vec::with_capacity(AGENT_BYTES_MAX),
            remembered: vec![None; REMEMBERED],
        })
    }

    /// The version that is stamped on records.
    pub fn version(&self) -> DataSetId {
        self.version
    }

    /// The class of an agent whose pseudonym is known. Nobody can aim at a place of the memory:
    /// pseudonyms are keyed with a secret.
    pub fn class(&mut self, agent: &[u8], pseudonym: u64) -> AgentClass {
        let place = (pseudonym as usize) & (REMEMBERED - 1);
        if let Some(Some((known, class))) = self.remembered.get(place)
            && *known == pseudonym
        {
            return *class;
        }
        let class = self.look_up(agent);
        if let Some(memory) = self.remembered.get_mut(place) {
            *memory = Some((pseudonym, class));
        }
        class
    }

    fn look_up(&mut self, agent: &[u8]) -> AgentClass {
        if agent.is_empty() {
            return AgentClass::Missing;
        }
        self.lower.clear();
        self.lower.extend(
            agent
                .iter()
                .take(AGENT_BYTES_MAX)
                .map(u8::to_ascii_lowercase),
        );
        if self.lower.ends_with(b"bot") {
            return AgentClass::DeclaredBot;
        }
        let fits = |line: &&Line| {
            line.words
                .iter()
                .all(|word| word.find(&self.lower).is_some())
        };
        self.lines
            .iter()
            .find(fits)
            .map_or(AgentClass::NonBrowser, |line| line.class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_agents_get_their_class() {
        use AgentClass::*;
        let rows = [
            ("", Missing),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/129.0",
                Desktop,
            ),
            (
                "Opera/9.80 (Windows NT 6.1; U; ru) Presto/2.10.289 Version/12.02",
                Desktop,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 6_0_1 like Mac OS X) Mobile/10A523",
                Mobile,
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/129.0 Mobile Safari/537.36",
                Mobile,
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-X200) Chrome/129.0 Safari/537.36",
                Tablet,
            ),
            (
                "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) Mobile Safari/537.36",
                Mobile,
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 6_0 like Mac OS X) Mobile/10A403 Safari/8536.25",
                Tablet,
            ),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                DeclaredBot,
            ),
            ("facebookexternalhit/1.1", DeclaredBot),
            ("SomeBot", DeclaredBot),
            ("curl/8.5.0", NonBrowser),
            ("python-requests/2.32", NonBrowser),
            ("\u{202e}no such thing", NonBrowser),
        ];
        let mut table = AgentTable::built_in().unwrap();
        for _ in 0..2 {
            for (index, (agent, class)) in rows.into_iter().enumerate() {
                assert_eq!(
                    table.class(agent.as_bytes(), index as u64),
                    class,
                    "{agent}"
                );
            }
        }
    }

    #[test]
    fn two_agents_of_one_place_do_not_mix() {
        let mut table = AgentTable::built_in().unwrap();
        let bot = table.class(b"robot", 5);
        let browser = table.class(b"Mozilla/5.0", 5 + REMEMBERED as u64);
        assert_eq!(
            (bot, browser),
            (AgentClass::DeclaredBot, AgentClass::Desktop)
        );
    }

    #[test]
    fn a_broken_table_names_its_line() {
        let error = |text| AgentTable::parse(text).err();
        assert_eq!(error("version 1\nrobots bot"), Some(BadTable(2)));
        assert_eq!(error("version 1\n\ndeclared_bot"), Some(BadTable(3)));
        assert_eq!(error("version x"), Some(BadTable(1)));
        assert_eq!(error("declared_bot bot"), Some(BadTable(0)), "no version");
    }
}
