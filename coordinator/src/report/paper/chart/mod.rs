//! Charts as SVG: lines or bars in one or two panels, dark on light, with axes, units and a legend.
//!
//! Pure and self-contained: a chart is a value, its picture is text that needs no font, script or
//! file of its own. Whatever is in a name, the picture stays well-formed.
//!
//! | Module | What it does |
//! |---|---|
//! | `scale` | from values to places on an axis, and its ticks |
//! | `marks` | lines, bars, error bars |
//! | `svg` | writes elements |

mod marks;
mod scale;
mod svg;

use scale::{Law, Scale};
use svg::{Anchor, Svg};

/// A chart.
#[derive(Clone, Debug, Default)]
pub(super) struct Chart {
    pub(super) title: String,
    /// Side by side.
    pub(super) panels: Vec<Panel>,
    /// What the series are called, by their number.
    pub(super) legend: Vec<String>,
    /// What the marks mean, and what a reader must know.
    pub(super) notes: Vec<String>,
}

/// One coordinate system.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    /// Title and unit of the horizontal axis.
    pub(super) x: String,
    /// Title and unit of the vertical axis.
    pub(super) y: String,
    /// The vertical axis is logarithmic.
    pub(super) log_y: bool,
    pub(super) marks: Marks,
}

/// What is drawn in a panel.
#[derive(Clone, Debug)]
pub(super) enum Marks {
    Lines(Vec<Line>),
    Bars(Vec<Bar>),
}

/// A series of points.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    /// Its number in the legend.
    pub(super) series: usize,
    /// By floodmark's own method: dashed, with hollow marks.
    pub(super) own: bool,
    pub(super) points: Vec<Dot>,
}

/// A point, and half of its interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dot {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) half: Option<f64>,
}

/// A bar by the paper's method, and one beside it by floodmark's own.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) series: usize,
    pub(super) paper: Option<f64>,
    pub(super) own: Option<f64>,
    /// What stands on the bars.
    pub(super) labels: [String; 2],
}

const WIDTH: f64 = 960.0;
const PLOT_HEIGHT: f64 = 330.0;
const TOP: f64 = 68.0;
/// Room left of a panel for its ticks and its title.
const LEFT: f64 = 78.0;
const RIGHT: f64 = 18.0;
/// Room below the plots for ticks and titles.
const BELOW: f64 = 56.0;
const LINE_HEIGHT: f64 = 17.0;
const LEGEND_COLUMNS: usize = 2;
/// Entries of a legend; what is beyond is counted.
const LEGEND_MAX: usize = 24;
/// Longest name in a legend, in characters, and longest line of the notes.
const NAME_MAX: usize = 62;
const NOTE_MAX: usize = 150;

/// The place of a panel's plot on the canvas.
#[derive(Clone, Copy, Debug)]
struct Area {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Chart {
    /// The picture.
    pub(super) fn svg(&self) -> String {
        let rows = self.legend.len().min(LEGEND_MAX).div_ceil(LEGEND_COLUMNS);
        let more = usize::from(self.legend.len() > LEGEND_MAX);
        let notes: Vec<String> = self.notes.iter().flat_map(|note| lines(note)).collect();
        let below = (rows + more + notes.len()) as f64 * LINE_HEIGHT;
        let height = TOP + PLOT_HEIGHT + BELOW + below + 18.0;
        let mut svg = Svg::new(WIDTH, height, &self.title);
        svg.heading(WIDTH / 2.0, 26.0, &clipped(&self.title, 100));
        let share = WIDTH / self.panels.len().max(1) as f64;
        for (place, panel) in self.panels.iter().enumerate() {
            let left = share * place as f64 + LEFT;
            let width = share - LEFT - RIGHT;
            let area = Area { left, top: TOP, width, height: PLOT_HEIGHT };
            panel.draw(&mut svg, area, &self.legend);
        }
        let mut y = TOP + PLOT_HEIGHT + BELOW + 8.0;
        let names = self.legend.iter().take(LEGEND_MAX).enumerate();
        for (series, name) in names {
            let column = (series % LEGEND_COLUMNS) as f64;
            let x = 24.0 + column * (WIDTH - 48.0) / LEGEND_COLUMNS as f64;
            marks::swatch(&mut svg, (x, y - 4.0), series, self.has_bars());
            svg.text(x + 34.0, y, Anchor::Start, &clipped(name, NAME_MAX));
            if series % LEGEND_COLUMNS == LEGEND_COLUMNS - 1 {
                y += LINE_HEIGHT;
            }
        }
        if !self.legend.len().min(LEGEND_MAX).is_multiple_of(LEGEND_COLUMNS) {
            y += LINE_HEIGHT;
        }
        if let Some(more) = self.legend.len().checked_sub(LEGEND_MAX).filter(|more| *more > 0) {
            svg.text(24.0, y, Anchor::Start, &format!("and {more} more"));
            y += LINE_HEIGHT;
        }
        y += 4.0;
        for note in notes {
            svg.small(24.0, y, &note);
            y += LINE_HEIGHT;
        }
        svg.end()
    }

    fn has_bars(&self) -> bool {
        self.panels.iter().any(|panel| matches!(panel.marks, Marks::Bars(_)))
    }
}

impl Panel {
    fn draw(&self, svg: &mut Svg, area: Area, legend: &[String]) {
        let y = Scale::of(self.values(), if self.log_y { Law::Log } else { Law::Linear });
        for tick in y.ticks() {
            let at = area.y(&y, tick);
            svg.grid(area.left, at, area.left + area.width, at);
            svg.text(area.left - 7.0, at + 4.0, Anchor::End, &scale::label(tick));
        }
        let frame = |svg: &mut Svg| svg.frame(area.left, area.top, area.width, area.height);
        match &self.marks {
            Marks::Lines(lines) => {
                let users = lines.iter().flat_map(|line| line.points.iter().map(|dot| dot.x));
                let x = Scale::of(users, Law::Users);
                for tick in x.ticks() {
                    let at = area.x(&x, tick);
                    svg.grid(at, area.top, at, area.top + area.height);
                    let below = area.top + area.height + 18.0;
                    svg.text(at, below, Anchor::Middle, &scale::label(tick));
                }
                // A mark on the edge of the plot lies upon its frame.
                frame(svg);
                marks::lines(svg, area, (&x, &y), lines);
            }
            Marks::Bars(bars) => {
                marks::bars(svg, area, &y, bars, legend);
                frame(svg);
            }
        }
        let middle = area.left + area.width / 2.0;
        svg.text(middle, area.top - 12.0, Anchor::Middle, &clipped(&self.title, NAME_MAX));
        svg.text(middle, area.top + area.height + 40.0, Anchor::Middle, &self.x);
        svg.upright(area.left - 62.0, area.top + area.height / 2.0, &self.y);
    }

    /// The values on the vertical axis, with the ends of their intervals.
    fn values(&self) -> impl Iterator<Item = f64> {
        let mut values = Vec::new();
        match &self.marks {
            Marks::Lines(lines) => {
                for dot in lines.iter().flat_map(|line| &line.points) {
                    values.push(dot.y);
                    values.extend(dot.half.map(|half| dot.y + half));
                }
            }
            Marks::Bars(bars) => {
                values.extend(bars.iter().flat_map(|bar| [bar.paper, bar.own]).flatten());
            }
        }
        values.into_iter()
    }
}

impl Area {
    fn x(self, scale: &Scale, value: f64) -> f64 {
        self.left + self.width * scale.place(value)
    }

    fn y(self, scale: &Scale, value: f64) -> f64 {
        self.top + self.height * (1.0 - scale.place(value))
    }
}

/// The beginning of a text that is too long.
fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// A note in lines that fit.
fn lines(note: &str) -> Vec<String> {
    let wrapped = crate::report::plain::wrap("", note, NOTE_MAX);
    wrapped.lines().map(str::to_owned).collect()
}

#[cfg(test)]
pub(super) use svg::tests::is_well_formed;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dots() -> impl Strategy<Value = Vec<Dot>> {
        let number =
            || prop_oneof![any::<f64>().prop_filter("finite", |v| v.is_finite()), 0.0..1e6];
        let dot = (number(), number(), prop::option::of(number()));
        prop::collection::vec(dot.prop_map(|(x, y, half)| Dot { x, y, half }), 0..6)
    }

    proptest! {
        #[test]
        fn any_chart_is_well_formed_and_stays_on_its_canvas(
            name in "\\PC*|.*|[<>&\"'\u{0}-\u{20}\u{fffe}\u{ffff}]*",
            series in prop::collection::vec((dots(), 0usize..40, any::<bool>()), 0..5),
            log_y in any::<bool>(),
        ) {
            let lines = series.iter().map(|(points, series, own)| {
                Line { series: *series, own: *own, points: points.clone() }
            });
            let bars = series.iter().flat_map(|(points, series, _)| {
                points.iter().map(|dot| Bar {
                    series: *series,
                    paper: Some(dot.y),
                    own: dot.half,
                    labels: [name.clone(), String::new()],
                })
            });
            let panel = |marks| Panel {
                title: name.clone(), x: name.clone(), y: name.clone(), log_y, marks,
            };
            let chart = Chart {
                title: name.clone(),
                panels: vec![
                    panel(Marks::Lines(lines.collect())), panel(Marks::Bars(bars.collect())),
                ],
                legend: vec![name.clone(); series.len() * 9],
                notes: vec![name.clone()],
            };
            let svg = chart.svg();
            prop_assert_eq!(is_well_formed(&svg), Ok(()));
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"));
            for part in svg.split(['"', ' ', ',']) {
                if let Ok(number) = part.parse::<f64>() {
                    prop_assert!(number.abs() < 1e4 || !part.contains('.'), "{}", part);
                }
            }
        }
    }
}
