//! Line charts as SVG: what the reports draw. Nothing else is needed to look at one: text, lines and a style sheet that
//! follows the reader's light or dark scheme.

mod axis;
mod svg;

use axis::Axis;
use serde::{Deserialize, Serialize};
use svg::{Anchor, Svg, escape};

pub(super) use svg::{escape as escape_text, standalone, style};

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// A line.
    Line,
    /// A dashed line: something to compare with.
    Dashed,
    /// A line with a dot at each point, and the band of each point as a bar.
    Dots,
    /// Dots alone.
    Scatter,
    /// Crosses alone.
    Cross,
}

/// Points that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its name in the legend; empty: it is not in the legend.
    pub name: String,
    /// Which of the eight colours, 0 to 7; the same number is the same colour in every chart.
    pub colour: usize,
    /// How it is drawn.
    pub mark: Mark,
    /// `[x, y]`; what is not finite is left out.
    #[serde(deserialize_with = "points_or_nan")]
    pub points: Vec<[f64; 2]>,
    /// `[low, high]` around each point: an interval, a deviation; as long as `points`, or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "points_or_nan")]
    pub band: Vec<[f64; 2]>,
}

/// JSON has no number for what is not finite: it is written as `null`, and read as NaN.
fn points_or_nan<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<[f64; 2]>, D::Error> {
    let points: Vec<[Option<f64>; 2]> = Vec::deserialize(deserializer)?;
    let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
    Ok(points.into_iter().map(|point| point.map(number)).collect())
}

impl Series {
    /// A series without a band.
    pub fn new(name: impl Into<String>, colour: usize, mark: Mark, points: Vec<[f64; 2]>) -> Self {
        Self {
            name: name.into(),
            colour,
            mark,
            points,
            band: Vec::new(),
        }
    }
}

/// A chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// Below the horizontal axis.
    pub x_label: String,
    /// Beside the vertical axis.
    pub y_label: String,
    /// Whether the horizontal axis counts: only whole numbers are labelled.
    pub counts: bool,
    /// Whether both axes have one scale: paths on a plane.
    pub plane: bool,
    /// Whether powers of ten stand equally far apart on the vertical axis; values that are not positive are left out.
    #[serde(default)]
    pub logarithmic: bool,
    /// Drawn in this order.
    pub series: Vec<Series>,
    /// Width and height in units of about a pixel.
    pub size: [f64; 2],
}

/// Height of a line of text.
const LINE: f64 = 18.0;
const TITLE: f64 = 26.0;
const BELOW: f64 = 44.0;
const RIGHT: f64 = 14.0;

impl Chart {
    /// An empty chart of the usual size.
    pub fn new(title: impl Into<String>, x_label: impl Into<String>, y_label: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            x_label: x_label.into(),
            y_label: y_label.into(),
            counts: false,
            plane: false,
            logarithmic: false,
            series: Vec::new(),
            size: [480.0, 320.0],
        }
    }

    /// The chart as an `svg` element for an HTML page.
    pub fn svg(&self) -> String {
        let [width, height] = self.size;
        format!(
            "<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">{}</svg>",
            escape(&self.title),
            self.body()
        )
    }

    /// What is in the `svg` element.
    pub(super) fn body(&self) -> String {
        let [width, height] = self.size;
        let mut svg = Svg::default();
        svg.text(12.0, 18.0, Anchor::Start, "title", &self.title);
        let legend_bottom = self.legend(&mut svg);

        let (x_range, y_range) = self.ranges();
        let mut y = if self.logarithmic {
            Axis::logarithmic(y_range)
        } else {
            let labels = ((height - legend_bottom - BELOW) / 42.0).clamp(2.0, 7.0);
            Axis::new(y_range, labels as usize, false)
        };
        let label_width = y.labels().map(|(_, label)| svg::text_width(&label)).fold(0.0, f64::max);
        let left = 12.0 + LINE + label_width + 8.0;
        let wide_labels = (width - left - RIGHT) / 70.0;
        let mut x = Axis::new(x_range, wide_labels.clamp(2.0, 8.0) as usize, self.counts);
        let (mut area_left, mut area_right) = (left, width - RIGHT);
        let (mut top, mut bottom) = (legend_bottom + 8.0, height - BELOW);
        if self.plane {
            // One scale: the longer side gives way, and the area stays in the middle.
            let scale = ((area_right - area_left) / x.span()).min((bottom - top) / y.span());
            let (spare_x, spare_y) = (
                area_right - area_left - scale * x.span(),
                bottom - top - scale * y.span(),
            );
            (area_left, area_right) = (area_left + 0.5 * spare_x, area_right - 0.5 * spare_x);
            (top, bottom) = (top + 0.5 * spare_y, bottom - 0.5 * spare_y);
        }
        x.place(area_left, area_right);
        y.place(bottom, top);

        for (value, label) in y.labels() {
            let at = y.at(value);
            svg.line([area_left, at], [area_right, at], "grid");
            svg.text(area_left - 6.0, at + 4.0, Anchor::End, "tick", &label);
        }
        for (value, label) in x.labels() {
            let at = x.at(value);
            svg.line([at, bottom], [at, bottom + 4.0], "axis");
            svg.text(at, bottom + 17.0, Anchor::Middle, "tick", &label);
        }
        svg.line([area_left, bottom], [area_right, bottom], "axis");
        svg.text(
            0.5 * (area_left + area_right),
            bottom + 36.0,
            Anchor::Middle,
            "label",
            &self.x_label,
        );
        svg.upright(area_left - label_width - 16.0, 0.5 * (top + bottom), &self.y_label);

        // What a band or an outlier has outside the area is cut off; dots on its edge are whole.
        svg.open_clip([area_left - 6.0, top - 4.0], [area_right + 6.0, bottom + 4.0]);
        let shown: Vec<Series> = self.series.iter().map(|series| self.shown(series)).collect();
        for series in &shown {
            series.bands(&mut svg, &x, &y);
        }
        for series in &shown {
            series.draw(&mut svg, &x, &y);
        }
        svg.close();
        svg.into_text()
    }

    /// The names, in as many rows as they need; where they end.
    fn legend(&self, svg: &mut Svg) -> f64 {
        const SWATCH: f64 = 24.0;
        let mut at = [12.0, TITLE + 12.0];
        let mut any = false;
        for series in self.series.iter().filter(|series| !series.name.is_empty()) {
            let wide = SWATCH + svg::text_width(&series.name) + 16.0;
            if any && at[0] + wide > self.size[0] {
                at = [12.0, at[1] + LINE];
            }
            series.swatch(svg, at);
            svg.text(at[0] + SWATCH, at[1], Anchor::Start, "legend", &series.name);
            at[0] += wide;
            any = true;
        }
        if any { at[1] + 4.0 } else { TITLE }
    }

    /// A series without what its axis cannot show.
    fn shown(&self, series: &Series) -> Series {
        let mut series = series.clone();
        if self.logarithmic {
            for [_, y] in &mut series.points {
                *y = if *y > 0.0 { *y } else { f64::NAN };
            }
        }
        series
    }

    /// What the axes span: all points, and bands where they are not far out.
    fn ranges(&self) -> ([f64; 2], [f64; 2]) {
        let shown: Vec<Series> = self.series.iter().map(|series| self.shown(series)).collect();
        let points = || shown.iter().flat_map(|series| &series.points);
        let finite = |values: &mut dyn Iterator<Item = f64>| {
            let span = values
                .filter(|value| value.is_finite())
                .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
                    [low.min(value), high.max(value)]
                });
            if span[0] > span[1] { [0.0, 1.0] } else { span }
        };
        let [first, last] = finite(&mut points().map(|point| point[0]));
        // What begins close to zero begins there: the first of many iterations.
        let x = if first > 0.0 && first < 0.1 * last {
            [0.0, last]
        } else {
            [first, last]
        };
        let [low, high] = finite(&mut points().map(|point| point[1]));
        if self.logarithmic {
            let (low, high) = if low > 0.0 { (low, high) } else { (0.1, 1.0) };
            // Bands as far as they are near.
            let bands = shown.iter().flat_map(|series| series.band.iter().flatten().copied());
            let near = |value: &f64| (low / 3.0..=high * 3.0).contains(value);
            let (low, high) = bands
                .filter(near)
                .fold((low, high), |(low, high), value| (low.min(value), high.max(value)));
            let margin = (high / low).powf(0.06).max(1.2);
            return (
                pad(x, if self.counts { 0.06 } else { 0.0 }),
                [low / margin, high * margin],
            );
        }
        let reach = 0.5 * (high - low);
        let bands = shown.iter().flat_map(|series| series.band.iter().flatten().copied());
        let near = bands.filter(|value| (low - reach..=high + reach).contains(value));
        let y = finite(&mut points().map(|point| point[1]).chain(near));
        (pad(x, if self.plane || self.counts { 0.06 } else { 0.0 }), pad(y, 0.06))
    }
}

/// A range with a margin of a share of its length; never empty. Zero stays the end of what does not cross it.
fn pad([low, high]: [f64; 2], share: f64) -> [f64; 2] {
    let mut margin = share * (high - low);
    if high - low < 1e-12 * high.abs().max(low.abs()).max(1e-30) {
        margin = 0.5 * high.abs().max(if high == 0.0 { 1.0 } else { 0.0 });
    }
    let keep_zero = |padded: f64, bare: f64| {
        if bare != 0.0 && padded * bare < 0.0 {
            0.0
        } else {
            padded
        }
    };
    [keep_zero(low - margin, low), keep_zero(high + margin, high)]
}

impl Series {
    fn class(&self) -> String {
        format!("c{}", self.colour % 8)
    }

    fn finite(&self) -> impl Iterator<Item = (usize, [f64; 2])> + '_ {
        let points = self.points.iter().copied().enumerate();
        points.filter(|(_, [x, y])| x.is_finite() && y.is_finite())
    }

    fn bands(&self, svg: &mut Svg, x: &Axis, y: &Axis) {
        if self.band.is_empty() || self.mark == Mark::Dots {
            return;
        }
        let edge = |side: usize| {
            let place = move |(index, point): (usize, [f64; 2])| {
                let value = self.band.get(index).map_or(point[1], |band| band[side]);
                let value = if value.is_finite() { value } else { point[1] };
                [x.at(point[0]), y.at(value)]
            };
            self.finite().map(place).collect::<Vec<_>>()
        };
        let mut outline = edge(0);
        outline.extend(edge(1).into_iter().rev());
        svg.polygon(&outline, &format!("band {}", self.class()));
    }

    fn draw(&self, svg: &mut Svg, x: &Axis, y: &Axis) {
        let class = self.class();
        let places: Vec<[f64; 2]> = self
            .finite()
            .map(|(_, point)| [x.at(point[0]), y.at(point[1])])
            .collect();
        match self.mark {
            Mark::Line => svg.path(&places, &format!("line {class}")),
            Mark::Dashed => svg.path(&places, &format!("line dashed {class}")),
            Mark::Cross => places.iter().for_each(|&at| svg.cross(at, &class)),
            Mark::Scatter => places.iter().for_each(|&at| svg.dot(at, 3.5, &class, "")),
            Mark::Dots => {
                svg.path(&places, &format!("line {class}"));
                for (index, point) in self.finite() {
                    let at = [x.at(point[0]), y.at(point[1])];
                    let mut said = format!("{}: {}", self.name, axis::short(point[1]));
                    if let Some([low, high]) = self
                        .band
                        .get(index)
                        .filter(|band| band.iter().all(|end| end.is_finite()))
                    {
                        svg.bar(at[0], y.at(*low), y.at(*high), &class);
                        said.push_str(&format!(" ({} to {})", axis::short(*low), axis::short(*high)));
                    }
                    svg.dot(at, 3.5, &class, &said);
                }
            }
        }
    }

    fn swatch(&self, svg: &mut Svg, [x, base]: [f64; 2]) {
        let (middle, class) = (base - 4.0, self.class());
        let (from, to) = ([x, middle], [x + 18.0, middle]);
        match self.mark {
            Mark::Line => svg.path(&[from, to], &format!("line {class}")),
            Mark::Dashed => svg.path(&[from, to], &format!("line dashed {class}")),
            Mark::Cross => svg.cross([x + 9.0, middle], &class),
            Mark::Scatter => svg.dot([x + 9.0, middle], 3.5, &class, ""),
            Mark::Dots => {
                svg.path(&[from, to], &format!("line {class}"));
                svg.dot([x + 9.0, middle], 3.5, &class, "");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<[f64; 2]>) -> String {
        let mut chart = Chart::new("a < b", "x", "y");
        chart.series.push(Series::new("s & t", 0, Mark::Dots, points));
        chart.svg()
    }

    #[test]
    fn text_is_escaped() {
        let svg = chart(vec![[0.0, 1.0]]);
        assert!(svg.contains("a &lt; b") && svg.contains("s &amp; t"), "{svg}");
    }

    /// Whatever is drawn, no coordinate is NaN or infinite.
    #[test]
    fn any_numbers_can_be_drawn() {
        for points in [
            vec![],
            vec![[0.0, 0.0]],
            vec![[1.0, f64::NAN], [2.0, f64::INFINITY]],
            vec![[0.0, 1e300], [1.0, -1e300]],
            vec![[5.0, 5.0], [5.0, 5.0]],
            vec![[0.0, 1e-300], [1.0, 2e-300]],
            vec![[0.0, -3.0], [10.0, -3.0]],
        ] {
            let svg = chart(points.clone());
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?}: {svg}");
        }
    }

    #[test]
    fn a_logarithmic_axis_leaves_out_what_is_not_positive() {
        for points in [
            vec![],
            vec![[0.0, 0.0]],
            vec![[0.0, 1e-9], [1.0, 0.0], [2.0, 1e9], [3.0, -1.0]],
        ] {
            let mut chart = Chart::new("t", "x", "y");
            chart.logarithmic = true;
            chart.series.push(Series::new("s", 0, Mark::Dots, points.clone()));
            let svg = chart.svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?}: {svg}");
        }
    }

    #[test]
    fn zero_ends_what_does_not_cross_it() {
        assert_eq!(pad([0.01, 4.0], 0.06)[0], 0.0);
        assert_eq!(pad([-4.0, -0.01], 0.06)[1], 0.0);
        assert!(pad([-1.0, 4.0], 0.06)[0] < -1.0);
    }
}
