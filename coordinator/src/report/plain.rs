//! Words for a terminal: nothing from outside can move its cursor, reorder its text or flood it.

use std::fmt::Write as _;

/// Longest piece of text from outside that a report shows, in characters.
pub(super) const CLIP: usize = 300;

/// `text` with everything that is not plainly visible escaped, clipped to `most` characters.
pub(super) fn plain(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut shown = 0;
    for c in text.chars() {
        let mut piece = String::new();
        if is_plain(c) {
            piece.push(c);
        } else {
            // Writing to a `String` cannot fail.
            let _written = write!(piece, "{}", c.escape_unicode());
        }
        let width = piece.chars().count();
        if shown + width > most {
            out.push('…');
            return out;
        }
        shown += width;
        out.push_str(&piece);
    }
    out
}

/// Neither a control character, nor one that is invisible or changes the direction of writing.
fn is_plain(c: char) -> bool {
    let hidden = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !hidden
}

/// Lines of at most `width` characters: the first begins with `first`, the others are indented
/// likewise. A word that is longer than a line is cut into several.
pub(crate) fn wrap(first: &str, text: &str, width: usize) -> String {
    let indent = first.chars().count();
    let room = width.saturating_sub(indent).max(20);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for chunk in letters.chunks(room) {
            let used = line.chars().count();
            if used > 0 && used + 1 + chunk.len() > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(chunk);
        }
    }
    lines.push(line);
    let separator = format!("\n{}", " ".repeat(indent));
    format!("{first}{}\n", lines.join(&separator))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_from_outside_moves_the_cursor(text in "\\PC*|.*|[\u{0}-\u{20}\u{200b}-\u{2030}]*") {
            let shown = plain(&text, 40);
            prop_assert!(shown.chars().all(is_plain));
            prop_assert!(shown.chars().count() <= 41);
        }

        #[test]
        fn wrapped_lines_fit_and_keep_every_letter(text in "[a-z ]{0,400}|[a-z]{150}") {
            let wrapped = wrap("note: ", &text, 60);
            prop_assert!(wrapped.lines().all(|line| line.chars().count() <= 60));
            let letters = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&wrapped), format!("note:{}", letters(&text)));
        }
    }

    #[test]
    fn escapes_are_visible() {
        assert_eq!(plain("a\u{1b}[2J\nb", 40), "a\\u{1b}[2J\\u{a}b");
        assert_eq!(plain("abc\u{202e}def", 40), "abc\\u{202e}def");
        assert_eq!(plain("abcdef", 3), "abc…");
        assert_eq!(plain("Größe 模型", 40), "Größe 模型");
    }
}
