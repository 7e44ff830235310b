//! Draws panels side by side as SVG.

use super::axis::{Axis, Scale, label};
use std::fmt::Write;

/// Panels over one x axis.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x_title: String,
    /// A line below the title of the x axis.
    pub(crate) note: String,
    pub(crate) x: Axis,
    /// What follows the number at a tick of the x axis.
    pub(crate) unit: &'static str,
    pub(crate) panels: Vec<Panel>,
}

/// What has a y axis of its own.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) scale: Scale,
    pub(crate) series: Vec<Series>,
}

/// Points that belong together.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) colour: String,
    pub(crate) mark: Mark,
    pub(crate) points: Vec<(f64, f64)>,
}

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// As dots, joined by a line.
    Line,
    /// As a line without dots.
    Path,
    /// As crosses.
    Points,
}

/// The place of a panel, and of its plot inside of it.
const PANEL: (f64, f64) = (560.0, 360.0);
const LEFT: f64 = 64.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 34.0;
const HEADER: f64 = 44.0;
const FOOTER: f64 = 56.0;
const COLUMNS: usize = 2;
const LEGEND_LINE: f64 = 15.0;
const STYLE: &str = "text{font-family:sans-serif;font-size:12px;fill:#111827}.t{font-size:16px;font-weight:bold}\
    .p{font-size:13px;font-weight:bold}.g{stroke:#e5e7eb}.a{stroke:#374151;fill:none}";

impl Chart {
    /// The text of the SVG file.
    pub(crate) fn to_svg(&self) -> String {
        let rows = self.panels.len().div_ceil(COLUMNS);
        let (width, height) = (PANEL.0 * COLUMNS as f64, HEADER + PANEL.1 * rows as f64 + FOOTER);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\">\n<style>{STYLE}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
        );
        text(&mut svg, (width / 2.0, 28.0), "middle", "t", &self.title);
        text(&mut svg, (width / 2.0, height - 32.0), "middle", "", &self.x_title);
        text(&mut svg, (width / 2.0, height - 14.0), "middle", "", &self.note);
        for (nth, panel) in self.panels.iter().enumerate() {
            let (column, row) = (nth % COLUMNS, nth / COLUMNS);
            let origin = (PANEL.0 * column as f64, HEADER + PANEL.1 * row as f64);
            panel.draw(&mut svg, origin, &self.x, self.unit);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// The area of a plot, and its axes.
struct Plot {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    x: Axis,
    y: Axis,
}

impl Plot {
    fn place(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        let (x, y) = (self.x.place(x)?, self.y.place(y)?);
        Some((self.left + x * self.width, self.top + (1.0 - y) * self.height))
    }
}

impl Panel {
    fn draw(&self, svg: &mut String, (left, top): (f64, f64), x: &Axis, unit: &str) {
        let legend = LEGEND_LINE * self.series.len().div_ceil(2) as f64;
        let all = self.series.iter().flat_map(|series| series.points.iter().map(|(_, y)| *y));
        let plot = Plot {
            left: left + LEFT,
            top: top + TOP + legend,
            width: PANEL.0 - LEFT - RIGHT,
            height: PANEL.1 - TOP - legend - BOTTOM,
            x: x.clone(),
            y: Axis::over(self.scale, all),
        };
        text(svg, (plot.left, top + 20.0), "start", "p", &self.title);
        draw_axes(svg, &plot, unit);
        for (nth, series) in self.series.iter().enumerate() {
            let at = plot.left + plot.width / 2.0 * (nth % 2) as f64;
            let line = top + 38.0 + LEGEND_LINE * (nth / 2) as f64;
            series.draw_mark(svg, (at + 8.0, line - 4.0));
            text(svg, (at + 20.0, line), "start", "", &series.name);
            series.draw(svg, &plot);
        }
    }
}

fn draw_axes(svg: &mut String, plot: &Plot, unit: &str) {
    let (right, bottom) = (plot.left + plot.width, plot.top + plot.height);
    for tick in &plot.y.ticks {
        let Some(along) = plot.y.place(*tick) else { continue };
        let y = bottom - along * plot.height;
        line(svg, (plot.left, y), (right, y));
        text(svg, (plot.left - 6.0, y + 4.0), "end", "", &label(*tick));
    }
    for tick in &plot.x.ticks {
        let Some(along) = plot.x.place(*tick) else { continue };
        let x = plot.left + along * plot.width;
        line(svg, (x, plot.top), (x, bottom));
        text(svg, (x, bottom + 16.0), "middle", "", &format!("{}{unit}", label(*tick)));
    }
    let (left, top, width, height) = (plot.left, plot.top, plot.width, plot.height);
    append(
        svg,
        format_args!(
            "<rect class=\"a\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ),
    );
}

impl Series {
    fn draw(&self, svg: &mut String, plot: &Plot) {
        let places: Vec<_> = self.points.iter().filter_map(|point| plot.place(*point)).collect();
        if self.mark != Mark::Points {
            let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let (path, colour) = (path.join(" "), &self.colour);
            append(
                svg,
                format_args!(
                    "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
                ),
            );
        }
        if self.mark != Mark::Path {
            places.into_iter().for_each(|place| self.draw_mark(svg, place));
        }
    }

    fn draw_mark(&self, svg: &mut String, (x, y): (f64, f64)) {
        let colour = &self.colour;
        match self.mark {
            Mark::Line | Mark::Path => {
                append(svg, format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"))
            }
            Mark::Points => append(
                svg,
                format_args!(
                    "<path d=\"M{:.1},{:.1}l10,10m0,-10l-10,10\" stroke=\"{colour}\" stroke-width=\"2.5\"/>",
                    x - 5.0,
                    y - 5.0
                ),
            ),
        }
    }
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    append(
        svg,
        format_args!("<line class=\"g\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"),
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, class: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    append(
        svg,
        format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{words}</text>"
        ),
    );
}

fn append(svg: &mut String, element: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _never = writeln!(svg, "{element}").is_err();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>, mark: Mark) -> String {
        let series = Series { name: "a & b".to_owned(), colour: "#123456".to_owned(), mark, points };
        let panel = Panel { title: "panel".to_owned(), scale: Scale::Linear, series: vec![series] };
        let [title, x_title, note] = ["title", "load", "note"].map(str::to_owned);
        let x = Axis::of(Scale::Log, vec![1.0, 10.0, 100.0]);
        Chart { title, x_title, note, x, unit: "x", panels: vec![panel] }.to_svg()
    }

    #[test]
    fn points_are_joined_and_stand_where_the_axes_say() {
        let svg = chart(vec![(1.0, 0.0), (10.0, 50.0), (100.0, 100.0)], Mark::Line);
        // The plot is 478 wide and 271 high, from (64, 99) on; the middle of its x axis is 10.
        assert!(svg.contains("points=\"64.0,370.0 303.0,234.5 542.0,99.0\""), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 4, "three points, and one in the legend");
        assert!(svg.contains(">10x</text>") && svg.contains(">a &amp; b</text>"));
    }

    #[test]
    fn a_point_outside_of_the_axes_is_left_out() {
        let svg = chart(vec![(1.0, 1.0), (0.5, 1.0), (1.0, f64::NAN)], Mark::Points);
        assert_eq!(svg.matches("<path").count(), 2, "one point, and one in the legend");
        assert!(!svg.contains("NaN") && svg.ends_with("</svg>\n"));
    }
}
