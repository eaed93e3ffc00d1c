//! Codes for the names of cells, which sort like the alphabet; and the rows of a table as cells.

use tollgate_click::{AgentClass, ClickFacts, Currency, Judgement, Outcome};

use super::cells::{At, Cell, Kinds};
use super::shapes::Shape;
use super::sketch;
use crate::lake::Event;
use crate::lake::columns::{Table, Values};

/// Codes for names, and back.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// By code less one.
    pub(super) events: Vec<&'static str>,
    pub(super) classes: Vec<&'static str>,
    pub(super) outcomes: Vec<&'static str>,
    /// Codes of all events, agent classes and outcomes, by their numbers: for counting.
    event_codes: [u8; Event::ALL.len()],
    class_codes: [u8; AgentClass::ALL.len()],
    outcome_codes: [u8; Outcome::ALL.len()],
    /// By number; the first is empty. There are as many as rules and checks.
    pub(super) reasons: Vec<String>,
}

impl Names {
    pub(crate) fn new() -> Names {
        let events = sorted(&Event::ALL.map(Event::name));
        let classes = sorted(&AgentClass::ALL.map(AgentClass::name));
        let outcomes = sorted(&Outcome::ALL.map(Outcome::name));
        Names {
            event_codes: Event::ALL.map(|event| code(&events, event.name())),
            class_codes: AgentClass::ALL.map(|class| code(&classes, class.name())),
            outcome_codes: Outcome::ALL.map(|outcome| code(&outcomes, outcome.name())),
            events,
            classes,
            outcomes,
            reasons: vec![String::new()],
        }
    }

    /// The cell of one click or impression.
    pub(crate) fn cell(
        &mut self,
        event: Event,
        facts: &ClickFacts,
        judgement: &Judgement,
        reason: &str,
    ) -> Cell {
        let letters = facts.country.code();
        let kinds = Kinds {
            advertiser: facts.advertiser.0,
            campaign: facts.campaign.0,
            minute: facts.reported_at().minute().0,
            publisher: facts.publisher.0,
            ad: facts.ad.0,
            placement: facts.placement.0,
            event: at(&self.event_codes, event as usize),
            country: letters.map_or([0; 2], |letters| letters.map(|letter| letter as u8)),
            agent_class: at(&self.class_codes, facts.agent_class as usize),
            outcome: at(&self.outcome_codes, judgement.outcome as usize),
            reason: self.reason(reason),
            currency: judgement.currency.map_or([0; 3], Currency::bytes),
        };
        Cell {
            kinds,
            clicks: 1,
            charge: judgement.charge.0,
            visitor: visitor(event, facts, judgement),
        }
    }

    /// The rows of a table as cells of a shape, not added up.
    pub(crate) fn cells_of(&mut self, table: &Table, shape: &Shape) -> Vec<Cell> {
        let events = self.codes(table, At::Event, |names, text| {
            u32::from(code(&names.events, text))
        });
        let classes = self.codes(table, At::AgentClass, |names, text| {
            u32::from(code(&names.classes, text))
        });
        let outcomes = self.codes(table, At::Outcome, |names, text| {
            u32::from(code(&names.outcomes, text))
        });
        let reasons = self.codes(table, At::Reason, |names, text| names.reason(text));
        let letters = |_: &mut Names, text: &str| {
            let mut bytes = [0; 4];
            bytes
                .iter_mut()
                .zip(text.bytes())
                .for_each(|(byte, letter)| *byte = letter);
            u32::from_be_bytes(bytes)
        };
        let countries = self.codes(table, At::Country, letters);
        let currencies = self.codes(table, At::Currency, letters);
        let of_row = |codes: &[u32], row: usize| codes.get(row).copied().unwrap_or(0);
        let mut cells = Vec::with_capacity(table.rows());
        for row in 0..table.rows() {
            let number = |at: At| table.u64(at as usize, row);
            let [first, second, ..] = of_row(&countries, row).to_be_bytes();
            let [a, b, c, _] = of_row(&currencies, row).to_be_bytes();
            let kinds = Kinds {
                advertiser: number(At::Advertiser) as u32,
                campaign: number(At::Campaign),
                minute: number(At::Minute) as u32,
                publisher: number(At::Publisher) as u32,
                ad: number(At::Ad),
                placement: number(At::Placement),
                event: of_row(&events, row) as u8,
                country: [first, second],
                agent_class: of_row(&classes, row) as u8,
                outcome: of_row(&outcomes, row) as u8,
                reason: of_row(&reasons, row),
                currency: [a, b, c],
            };
            cells.push(Cell {
                kinds: kinds.in_shape(shape),
                clicks: number(At::Clicks),
                charge: number(At::Charge) as i64,
                visitor: None,
            });
        }
        cells
    }

    /// For every reason's number its place in the alphabet.
    pub(super) fn places(&self) -> Vec<u32> {
        let mut sorted: Vec<&String> = self.reasons.iter().collect();
        sorted.sort_unstable();
        let place = |reason| sorted.binary_search(&reason).unwrap_or(0) as u32;
        self.reasons.iter().map(place).collect()
    }

    /// A number for a reason.
    fn reason(&mut self, reason: &str) -> u32 {
        let known = self.reasons.iter().position(|known| known == reason);
        let number = known.unwrap_or_else(|| {
            self.reasons.push(reason.to_owned());
            self.reasons.len() - 1
        });
        number as u32
    }

    /// A code for every row of a column of names.
    fn codes(&mut self, table: &Table, at: At, code: impl Fn(&mut Names, &str) -> u32) -> Vec<u32> {
        let column = table.columns.get(at as usize);
        let Some(Values::Word(words)) = column.map(|column| &column.values) else {
            return Vec::new();
        };
        let of_text: Vec<u32> = words.texts().map(|text| code(self, text)).collect();
        let of_number = |number: &u32| of_text.get(*number as usize).copied().unwrap_or(0);
        words.rows.iter().map(of_number).collect()
    }
}

/// Register and rank of who made a click that counts in `total_net`.
fn visitor(event: Event, facts: &ClickFacts, judgement: &Judgement) -> Option<(u16, u8)> {
    if event != Event::Click || !judgement.outcome.in_total_net() {
        return None;
    }
    // Turned, so that equal halves do not cancel.
    let visitor = facts.pseudonyms.address ^ facts.pseudonyms.agent.rotate_left(29);
    Some(sketch::register(visitor))
}

fn sorted(names: &[&'static str]) -> Vec<&'static str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

/// One more than the place in the alphabet; 0 for what is not there.
fn code(names: &[&'static str], name: &str) -> u8 {
    let place = names.iter().position(|known| *known == name);
    place.map_or(0, |place| place as u8 + 1)
}

fn at(codes: &[u8], number: usize) -> u8 {
    codes.get(number).copied().unwrap_or(0)
}

pub(super) fn name(names: &[&'static str], code: u8) -> &'static str {
    let place = usize::from(code).checked_sub(1);
    place
        .and_then(|place| names.get(place))
        .copied()
        .unwrap_or("")
}

/// Upper-case letters as text; nothing when there are none.
pub(super) fn letters(bytes: &[u8]) -> &str {
    let is_set = bytes.first() != Some(&0);
    let text = is_set.then(|| std::str::from_utf8(bytes).ok());
    text.flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_names_are_their_places() {
        let names = Names::new();
        for (number, class) in AgentClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, number);
            assert_eq!(
                name(&names.classes, names.class_codes[number]),
                class.name()
            );
        }
        for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number);
            assert_eq!(
                name(&names.outcomes, names.outcome_codes[number]),
                outcome.name()
            );
        }
        for (number, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, number);
            assert_eq!(name(&names.events, names.event_codes[number]), event.name());
        }
    }
}
