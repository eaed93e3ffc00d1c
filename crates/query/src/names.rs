//! Names that people give: what is refused, and when two of them read the same.

use tollgate_click::limits::NAME_BYTES_MAX;

/// What is wrong with a name, if anything.
pub fn check(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("it has {} bytes", name.len()));
    }
    check_text(name)
}

/// What is wrong with a text of any length, if anything.
pub fn check_text(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    if name != name.trim() {
        return Err("it begins or ends with a space".to_owned());
    }
    if let Some(hidden) = name.chars().find(|letter| is_hidden(*letter)) {
        return Err(format!(
            "it holds U+{:04X}, which cannot be seen",
            u32::from(hidden)
        ));
    }
    Ok(())
}

/// What a name may be, in words.
pub const ALLOWED: &str = "1 to 256 bytes that can be seen, without spaces at its ends";

/// The same for all names that a reader would take for one another: lower case, single spaces,
/// and letters of other scripts that look like Latin ones as those.
pub fn skeleton(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for letter in name.chars().flat_map(char::to_lowercase) {
        if is_hidden(letter) {
            continue;
        }
        if letter.is_whitespace() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
            continue;
        }
        out.push(look(letter));
    }
    out.truncate(out.trim_end().len());
    out
}

/// Controls, marks of direction, joiners and other letters without a shape.
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(
            u32::from(letter),
            0xAD | 0x34F
                | 0x61C
                | 0x115F..=0x1160
                | 0x17B4..=0x17B5
                | 0x180B..=0x180F
                | 0x200B..=0x200F
                | 0x2028..=0x202E
                | 0x2060..=0x206F
                | 0x3164
                | 0xFE00..=0xFE0F
                | 0xFEFF
                | 0xFFA0
                | 0xFFF0..=0xFFFB
                | 0xE0000..=0xE0FFF
        )
}

/// The Latin letter that a letter looks like. From the letters of Unicode's list of confusables
/// (UTS 39) that stand on common keyboards.
fn look(letter: char) -> char {
    match letter {
        'а' | 'α' => 'a',
        'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' | 'ё' => 'e',
        'һ' | 'н' => 'h',
        'і' | 'ι' | 'ı' | 'l' | '1' | '|' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'м' | 'μ' => 'm',
        'п' | 'η' => 'n',
        'о' | 'ο' | 'σ' | '0' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' | 'ս' => 'u',
        'ν' | 'ѵ' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        full @ '！'..='～' => {
            let ascii = u32::from(full) - 0xFEE0;
            char::from_u32(ascii).map_or(full, |ascii| look(ascii.to_ascii_lowercase()))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_hide_something_are_refused() {
        for good in [
            "Spring",
            "Größe 42",
            "春の販売",
            "<script>",
            "=1+1",
            "a 🚀 b",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let long = "x".repeat(257);
        let rtl = "gnp.\u{202e}exe";
        for bad in [
            "",
            " ",
            "a\nb",
            "a\0",
            " a",
            "a ",
            rtl,
            "a\u{200b}b",
            "\u{feff}a",
            &long,
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert_eq!(check(&"x".repeat(256)), Ok(()));
        assert!(check(&"x".repeat(10_000)).is_err());
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        for (one, other) in [
            ("Acme", "ACME"),
            ("Acme", "Аcmе"), // Cyrillic
            ("Acme  Inc", "acme inc"),
            ("Acme", "Ａｃｍｅ"),
            ("bill", "biII"),
            ("a\u{200b}b", "ab"),
        ] {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        assert_ne!(skeleton("Acme 2"), skeleton("Acme 3"));
        assert_ne!(skeleton("春"), skeleton("夏"));
    }
}
