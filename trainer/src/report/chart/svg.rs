//! SVG elements as text, and the style sheet of all charts.

use std::fmt::Write;

/// Which point of a text stands where it is put.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Elements under construction. Coordinates are written with one decimal: a tenth of a pixel.
#[derive(Debug, Default)]
pub(super) struct Svg {
    text: String,
}

impl Svg {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Writing to a String cannot fail.
    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = self.text.write_fmt(element);
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
        ));
    }

    /// Text that reads upwards, with its middle at a point.
    pub(super) fn upright(&mut self, x: f64, y: f64, text: &str) {
        let text = escape(text);
        self.put(format_args!(
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" class=\"label\">{text}</text>"
        ));
    }

    pub(super) fn line(&mut self, from: [f64; 2], to: [f64; 2], class: &str) {
        let ([x1, y1], [x2, y2]) = (from, to);
        self.put(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        ));
    }

    fn places(places: &[[f64; 2]]) -> String {
        let mut text = String::new();
        for [x, y] in places {
            let separator = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{separator}{x:.1},{y:.1}");
        }
        text
    }

    pub(super) fn path(&mut self, places: &[[f64; 2]], class: &str) {
        if !places.is_empty() {
            let places = Self::places(places);
            self.put(format_args!("<polyline points=\"{places}\" class=\"{class}\"/>"));
        }
    }

    pub(super) fn polygon(&mut self, places: &[[f64; 2]], class: &str) {
        if !places.is_empty() {
            let places = Self::places(places);
            self.put(format_args!("<polygon points=\"{places}\" class=\"{class}\"/>"));
        }
    }

    /// A dot; `said` is what pointing at it shows.
    pub(super) fn dot(&mut self, [x, y]: [f64; 2], radius: f64, class: &str, said: &str) {
        if said.is_empty() {
            self.put(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" class=\"dot {class}\"/>"
            ));
        } else {
            let said = escape(said);
            self.put(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" class=\"dot {class}\"><title>{said}</title></circle>"
            ));
        }
    }

    pub(super) fn cross(&mut self, [x, y]: [f64; 2], class: &str) {
        self.put(format_args!(
            "<path d=\"M{:.1} {:.1}l10 10m0 -10l-10 10\" class=\"line cross {class}\"/>",
            x - 5.0,
            y - 5.0
        ));
    }

    /// An interval: a vertical bar with ends.
    pub(super) fn bar(&mut self, x: f64, from: f64, to: f64, class: &str) {
        self.put(format_args!(
            "<path d=\"M{:.1} {from:.1}h8m-4 0V{to:.1}m-4 0h8\" class=\"bar {class}\"/>",
            x - 4.0
        ));
    }

    /// What follows, up to [`close`](Self::close), is shown between two corners only.
    pub(super) fn open_clip(&mut self, [left, top]: [f64; 2], [right, bottom]: [f64; 2]) {
        self.put(format_args!(
            "<svg x=\"{left:.1}\" y=\"{top:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" viewBox=\"{left:.1} {top:.1} {w:.1} {h:.1}\">",
            w = right - left,
            h = bottom - top
        ));
    }

    pub(super) fn close(&mut self) {
        self.text.push_str("</svg>");
    }
}

/// Text for HTML and SVG.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// About how wide a text is at 12 units: no font is measured.
pub(super) fn text_width(text: &str) -> f64 {
    let width = |letter: char| match letter {
        'i' | 'j' | 'l' | 'I' | 't' | 'f' | 'r' | '.' | ',' | ':' | '(' | ')' | ' ' | '\'' => 4.2,
        'm' | 'w' | 'M' | 'W' => 10.2,
        'A'..='Z' => 8.4,
        _ => 7.0,
    };
    text.chars().map(width).sum()
}

/// Colours of the series: Okabe and Ito (2008), told apart with every kind of colour vision, darkened or lightened until
/// they stand out on the paper.
const LIGHT: [&str; 8] = [
    "#0072b2", "#d55e00", "#008f68", "#b3558c", "#a87700", "#3a9fd6", "#77808a", "#1c2024",
];
const DARK: [&str; 8] = [
    "#4db3f0", "#ff8f3f", "#2fc79a", "#e08cc0", "#e5b94a", "#8ed2ff", "#98a2ac", "#e8eaed",
];

/// The style of every chart, for the reader's light or dark scheme. Plain colours, no variables: not every program that
/// shows SVG knows those.
pub(crate) fn style() -> String {
    let mut text = String::from(
        ".chart text{font:12px system-ui,'Segoe UI',Helvetica,Arial,'DejaVu Sans',sans-serif}\
         .chart .title{font-size:14px;font-weight:600}.chart .tick{font-size:11px}\
         .chart .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\
         .chart .dashed{stroke-dasharray:6 5}.chart .cross{stroke-width:2.5}\
         .chart .bar{fill:none;stroke-width:1.5}.chart .band{stroke:none;opacity:.18}",
    );
    text.push_str(&scheme("#fff", "#1c2024", "#5f6a74", "#dfe3e7", &LIGHT));
    text.push_str("@media(prefers-color-scheme:dark){");
    text.push_str(&scheme("#15181c", "#e8eaed", "#9aa4ae", "#31373d", &DARK));
    text.push('}');
    text
}

fn scheme(paper: &str, ink: &str, faint: &str, rule: &str, colours: &[&str]) -> String {
    let mut text = format!(
        ".chart .paper{{fill:{paper}}}.chart text{{fill:{ink}}}.chart .tick,.chart .label{{fill:{faint}}}\
         .chart .grid{{stroke:{rule}}}.chart .axis{{stroke:{faint}}}"
    );
    for (index, colour) in colours.iter().enumerate() {
        let _ = write!(
            text,
            ".chart .line.c{index},.chart .bar.c{index}{{stroke:{colour}}}\
             .chart .dot.c{index},.chart .band.c{index}{{fill:{colour}}}"
        );
    }
    text
}

/// Charts side by side in one SVG file, each `[width, height]` of its own, under a title.
pub(crate) fn standalone(title: &str, charts: &[super::Chart]) -> String {
    let width: f64 = charts.iter().map(|chart| chart.size[0]).sum();
    let height = charts.iter().map(|chart| chart.size[1]).fold(0.0, f64::max) + 36.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\"><style>{}</style>\
         <rect width=\"{width}\" height=\"{height}\" class=\"paper\"/>",
        style()
    );
    let mut svg = Svg::default();
    svg.text(12.0, 24.0, Anchor::Start, "title", title);
    text.push_str(&svg.into_text());
    let mut left = 0.0;
    for chart in charts {
        let _ = write!(text, "<g transform=\"translate({left} 36)\">{}</g>", chart.body());
        left += chart.size[0];
    }
    text.push_str("</svg>\n");
    text
}
