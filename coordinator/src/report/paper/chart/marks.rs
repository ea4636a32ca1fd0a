//! What stands for values in a plot. Series differ in colour and in the shape of their marks, so
//! that they can be told apart without colours, too.

use super::scale::Scale;
use super::svg::{Anchor, Pen, Svg};
use super::{Area, Bar, Dot, Line, clipped};

/// Colours that are told apart by most eyes (after Okabe and Ito), dark enough on white.
const COLORS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#a2467f", "#a86f00", "#56595e", "#3f8fc0"];
const WHITE: &str = "#ffffff";
/// Half the size of a mark; floodmark's show as rings about those in the same place.
const MARK: f64 = 4.0;
const RING: f64 = 6.0;

fn color(series: usize) -> &'static str {
    COLORS.get(series % COLORS.len()).copied().unwrap_or("#000000")
}

/// What a series looks like, for the legend.
pub(super) fn swatch(svg: &mut Svg, (x, y): (f64, f64), series: usize, is_bar: bool) {
    if is_bar {
        let corners = [(x, y - 6.0), (x + 26.0, y - 6.0), (x + 26.0, y + 5.0), (x, y + 5.0)];
        svg.polygon(&corners, color(series), pen(series, false));
    } else {
        svg.line((x, y), (x + 26.0, y), pen(series, false));
        mark(svg, (x + 13.0, y), series, false);
    }
}

fn pen(series: usize, own: bool) -> Pen {
    Pen { color: color(series), width: if own { 1.4 } else { 2.0 }, dashed: own }
}

/// Lines through the points of each series, and their error bars.
pub(super) fn lines(svg: &mut Svg, area: Area, (x, y): (&Scale, &Scale), lines: &[Line]) {
    // Floodmark's lie below: where both are the same, the paper's stays to be seen.
    let (own, paper): (Vec<&Line>, Vec<&Line>) = lines.iter().partition(|line| line.own);
    for Line { series, own, points } in own.into_iter().chain(paper) {
        let place = |dot: &Dot| (area.x(x, dot.x), area.y(y, dot.y));
        let places: Vec<(f64, f64)> = points.iter().map(place).collect();
        if places.len() > 1 {
            svg.polyline(&places, pen(*series, *own));
        }
        for (dot, at) in points.iter().zip(places) {
            if let Some(half) = dot.half {
                let ends = [dot.y - half, dot.y + half].map(|end| area.y(y, end));
                error_bar(svg, at.0, ends, *series);
            }
            mark(svg, at, *series, *own);
        }
    }
}

fn error_bar(svg: &mut Svg, x: f64, [low, high]: [f64; 2], series: usize) {
    let pen = Pen { color: color(series), width: 1.2, dashed: false };
    svg.line((x, low), (x, high), pen);
    for end in [low, high] {
        svg.line((x - 4.0, end), (x + 4.0, end), pen);
    }
}

/// The mark of a series: circle, square, triangle or diamond; hollow for floodmark's own values.
fn mark(svg: &mut Svg, (x, y): (f64, f64), series: usize, own: bool) {
    let (fill, size) = if own { (WHITE, RING) } else { (color(series), MARK) };
    let pen = Pen { color: color(series), width: 1.4, dashed: false };
    let at = |corners: &[(f64, f64)]| -> Vec<(f64, f64)> {
        corners.iter().map(|(dx, dy)| (x + dx * size, y + dy * size)).collect()
    };
    match series % 4 {
        0 => svg.circle(x, y, size, fill, pen),
        1 => svg.polygon(&at(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]), fill, pen),
        2 => svg.polygon(&at(&[(0.0, -1.2), (1.15, 0.9), (-1.15, 0.9)]), fill, pen),
        _ => svg.polygon(&at(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]), fill, pen),
    }
}

/// Bars from the lower end of the axis, one or two for each series, the values upon them.
pub(super) fn bars(svg: &mut Svg, area: Area, y: &Scale, bars: &[Bar], legend: &[String]) {
    let share = area.width / bars.len().max(1) as f64;
    let bottom = area.top + area.height;
    for (place, bar) in bars.iter().enumerate() {
        let middle = area.left + share * (place as f64 + 0.5);
        let two = bar.own.is_some();
        let width = (share * if two { 0.34 } else { 0.5 }).min(70.0);
        let lefts =
            if two { [middle - width - 1.5, middle + 1.5] } else { [middle - width / 2.0; 2] };
        let values = [(bar.paper, false), (bar.own, true)];
        for (((value, own), left), label) in values.into_iter().zip(lefts).zip(&bar.labels) {
            let Some(value) = value else { continue };
            let top = area.y(y, value);
            let corners =
                [(left, bottom), (left, top), (left + width, top), (left + width, bottom)];
            let fill = if own { WHITE } else { color(bar.series) };
            let pen = Pen { color: color(bar.series), width: 1.4, dashed: own };
            svg.polygon(&corners, fill, pen);
            svg.text(left + width / 2.0, top - 5.0, Anchor::Middle, &clipped(label, 10));
        }
        // About seven units of width for a letter.
        let letters = (share / 7.0).max(1.0) as usize;
        let name = legend.get(bar.series).map_or("", String::as_str);
        svg.text(middle, bottom + 18.0, Anchor::Middle, &clipped(name, letters));
    }
}
