//! Writes elements of an SVG picture. Text from outside is escaped here and nowhere else.

use std::fmt::Write as _;

/// Where a text is held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pen {
    pub(super) color: &'static str,
    pub(super) width: f64,
    pub(super) dashed: bool,
}

/// A picture that is being written.
pub(super) struct Svg(String);

const INK: &str = "#1a1a1a";

impl Svg {
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut svg = Self(String::new());
        svg.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" font-family=\"Helvetica, Arial, \
             sans-serif\" font-size=\"12\" fill=\"{INK}\">"
        ));
        svg.add(format_args!("<title>{}</title>", escaped(title)));
        svg.add(format_args!(
            "<rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"#ffffff\"/>"
        ));
        svg
    }

    pub(super) fn end(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }

    pub(super) fn heading(&mut self, x: f64, y: f64, text: &str) {
        let text = escaped(text);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" font-size=\"16\" \
             font-weight=\"bold\">{text}</text>"
        ));
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    pub(super) fn small(&mut self, x: f64, y: f64, text: &str) {
        let text = escaped(text);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"11\" fill=\"#555555\">{text}</text>"
        ));
    }

    /// A text that is read from below.
    pub(super) fn upright(&mut self, x: f64, y: f64, text: &str) {
        let text = escaped(text);
        self.add(format_args!(
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" \
             text-anchor=\"middle\">{text}</text>"
        ));
    }

    pub(super) fn grid(&mut self, x1: f64, y1: f64, x2: f64, y2: f64) {
        self.line((x1, y1), (x2, y2), Pen { color: "#e2e2e2", width: 1.0, dashed: false });
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), pen: Pen) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let stroke = stroke(pen);
        self.add(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {stroke}/>"
        ));
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], pen: Pen) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let (points, stroke) = (points.join(" "), stroke(pen));
        self.add(format_args!("<polyline points=\"{points}\" fill=\"none\" {stroke}/>"));
    }

    /// A closed shape, filled or hollow.
    pub(super) fn polygon(&mut self, points: &[(f64, f64)], fill: &str, pen: Pen) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let (points, stroke) = (points.join(" "), stroke(pen));
        self.add(format_args!("<polygon points=\"{points}\" fill=\"{fill}\" {stroke}/>"));
    }

    pub(super) fn circle(&mut self, x: f64, y: f64, radius: f64, fill: &str, pen: Pen) {
        let stroke = stroke(pen);
        self.add(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{fill}\" {stroke}/>"
        ));
    }

    pub(super) fn frame(&mut self, x: f64, y: f64, width: f64, height: f64) {
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"none\" stroke=\"{INK}\"/>"
        ));
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        let _written = writeln!(self.0, "{element}");
    }
}

fn stroke(Pen { color, width, dashed }: Pen) -> String {
    let dashes = if dashed { " stroke-dasharray=\"6 4\"" } else { "" };
    format!("stroke=\"{color}\" stroke-width=\"{width:.1}\"{dashes}")
}

/// Text as XML has it; what XML cannot have is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
pub(in super::super) mod tests {
    /// Whether a text is one well-formed XML element of the kind that is written here: tags nest,
    /// attributes are quoted and not repeated, references are known, every character is allowed.
    pub(in super::super::super) fn is_well_formed(text: &str) -> Result<(), String> {
        let allowed = |c: char| {
            matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}'
                | '\u{10000}'..='\u{10ffff}')
        };
        if let Some(c) = text.chars().find(|c| !allowed(*c)) {
            return Err(format!("{c:?} is no character of XML"));
        }
        let references = |text: &str| {
            text.split('&').skip(1).all(|rest| {
                let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
                known.iter().any(|name| rest.starts_with(name))
            })
        };
        let mut open: Vec<&str> = Vec::new();
        let mut roots = 0;
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            if !references(before) || before.contains('>') {
                return Err(format!("text: {before:?}"));
            }
            if open.is_empty() && !before.trim().is_empty() {
                return Err(format!("text outside of the root: {before:?}"));
            }
            let (tag, after) = after.split_once('>').ok_or("a tag is not closed")?;
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                if open.pop() != Some(name) {
                    return Err(format!("</{name}> closes another element"));
                }
                continue;
            }
            let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
                return Err(format!("<{tag}> has no name"));
            }
            let mut seen = Vec::new();
            let mut attributes = attributes;
            while let Some((key, after)) = attributes.split_once("=\"") {
                let (value, after) = after.split_once('"').ok_or("a value is not closed")?;
                let key = key.trim();
                if !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                    || seen.contains(&key)
                {
                    return Err(format!("attribute {key:?}"));
                }
                if !references(value) {
                    return Err(format!("value {value:?}"));
                }
                seen.push(key);
                attributes = after;
            }
            if !attributes.trim().is_empty() {
                return Err(format!("attributes: {attributes:?}"));
            }
            if open.is_empty() {
                roots += 1;
            }
            if !empty {
                open.push(name);
            }
        }
        if !open.is_empty() || roots != 1 || !rest.trim().is_empty() {
            return Err(format!("{roots} roots, open {open:?}, then {rest:?}"));
        }
        Ok(())
    }

    #[test]
    fn the_test_of_well_formedness_fails_what_is_not() {
        assert_eq!(is_well_formed("<a b=\"1\"><c/>x &amp; y</a>\n"), Ok(()));
        for bad in [
            "",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a>&x;</a>",
            "<a>1 > 0</a>",
            "<a b=1/>",
            "x<a/>",
            "<a b=\"1\" b=\"2\"/>",
            "<a>\u{1}</a>",
            "<a b=\"&\"/>",
            "<a/>x",
        ] {
            assert!(is_well_formed(bad).is_err(), "{bad}");
        }
    }
}
