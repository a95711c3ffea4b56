//! Line charts as SVG: a few lines over time, with a mark for each fault.

use std::fmt::Write;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 20.0;
const BOTTOM: f64 = 40.0;
/// More points than pixels show nothing more.
const POINTS_MAX: usize = 400;
const COLORS: [&str; 4] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd"];

pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// Seconds since the start, and the value.
    pub(crate) points: Vec<(f64, f64)>,
}

pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) lines: Vec<Line>,
    /// Seconds since the start.
    pub(crate) marks: Vec<f64>,
}

impl Chart {
    pub(crate) fn svg(&self) -> String {
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let x_max = all().map(|point| point.0).fold(1.0, f64::max);
        let y_max = round_up(all().map(|point| point.1).fold(1.0, f64::max));
        let x = |at: f64| LEFT + at / x_max * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / y_max * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        text(
            &mut svg,
            (LEFT, 16.0),
            "start",
            &format!("{} ({})", self.title, self.unit),
        );
        for mark in &self.marks {
            rule(
                &mut svg,
                (x(*mark), TOP),
                (x(*mark), HEIGHT - BOTTOM),
                "#eecccc",
            );
        }
        for part in 0..=4 {
            let share = f64::from(part) / 4.0;
            let (value, at) = (share * y_max, share * x_max);
            rule(
                &mut svg,
                (LEFT, y(value)),
                (WIDTH - RIGHT, y(value)),
                "#dddddd",
            );
            text(&mut svg, (LEFT - 6.0, y(value) + 4.0), "end", &short(value));
            let minutes = format!("{} min", short(at / 60.0));
            text(
                &mut svg,
                (x(at), HEIGHT - BOTTOM + 18.0),
                "middle",
                &minutes,
            );
        }
        for (number, line) in self.lines.iter().enumerate() {
            let color = COLORS[number % COLORS.len()];
            let points = thinned(&line.points).into_iter();
            let points: Vec<_> = points
                .map(|(at, value)| format!("{:.1},{:.1}", x(at), y(value)))
                .collect();
            let points = points.join(" ");
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{color}\" points=\"{points}\"/>"
            );
            let at = (LEFT + 200.0 * number as f64, 32.0);
            let name = format!("<tspan fill=\"{color}\">&#9632;</tspan> {}", line.name);
            text(&mut svg, at, "start", &name);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn rule(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), color: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\"/>"
    );
}

/// The highest of each stretch: what stands out stays.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let stretch = points.len().div_ceil(POINTS_MAX).max(1);
    let highest = |part: &[(f64, f64)]| part.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points.chunks(stretch).filter_map(highest).collect()
}

/// 1, 2, 4 or 8 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 8.0, 10.0].map(|step| step * power);
    let enough = steps.into_iter().find(|step| *step >= value);
    enough.unwrap_or(value)
}

fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[test]
fn a_chart_shows_its_lines_and_marks_within_its_frame() {
    let points: Vec<_> = (0..10_000)
        .map(|n| (f64::from(n), f64::from(n % 37)))
        .collect();
    let chart = Chart {
        title: "Memory",
        unit: "MiB",
        lines: vec![
            Line {
                name: "one",
                points: points.clone(),
            },
            Line {
                name: "two",
                points,
            },
        ],
        marks: vec![10.0, 5_000.0],
    };
    let svg = chart.svg();
    let count = |text: &str| svg.matches(text).count();
    assert_eq!((count("<polyline"), count("#eecccc")), (2, 2));
    assert_eq!(count("<text"), count("</text>"));
    assert!(svg.len() < 30_000, "{} bytes", svg.len());
    let of_line = svg
        .split_once("points=\"")
        .unwrap()
        .1
        .split_once('"')
        .unwrap()
        .0;
    for point in of_line.split(' ') {
        let (x, y) = point.split_once(',').unwrap();
        let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
        assert!(
            (LEFT..=WIDTH).contains(&x) && (TOP..=HEIGHT).contains(&y),
            "{point}"
        );
    }
    assert_eq!(
        [0.3, 1.0, 37.0, 81.0].map(round_up),
        [0.4, 1.0, 40.0, 100.0]
    );
}
