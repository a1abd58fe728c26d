//! The affinity of tasks as a table and as a plot.

use std::fmt::Write;

use super::chart::escape_text as escape;

/// Side of a cell of the plot, and room for names.
const CELL: f64 = 64.0;
const NAMES: f64 = 150.0;

/// The affinities `[tasks, tasks]`, in percent: a row is what a step for that task takes off the losses of all.
pub fn affinity_table(names: &[String], affinities: &[f64], groups: &[Vec<usize>]) -> String {
    let wide = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(8);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "Of the loss of each task (column), what a step for another (row) takes off, in percent:"
    );
    let _ = write!(text, "{:wide$}", "");
    for name in names {
        let _ = write!(text, "  {name:>wide$}");
    }
    let _ = writeln!(text);
    for (name, row) in names.iter().zip(affinities.chunks_exact(names.len().max(1))) {
        let _ = write!(text, "{name:wide$}");
        for value in row {
            let _ = write!(text, "  {:>+wide$.3}", 100.0 * value);
        }
        let _ = writeln!(text);
    }
    let _ = writeln!(text, "Suggested groups: {}", named(names, groups));
    text
}

/// Groups by name: `a, b | c`.
fn named(names: &[String], groups: &[Vec<usize>]) -> String {
    let one = |group: &Vec<usize>| {
        group
            .iter()
            .map(|&task| names[task].as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    groups.iter().map(one).collect::<Vec<_>>().join(" | ")
}

/// A matrix of cells, tasks in the order of their groups: blue helps, red harms. An SVG file.
pub fn affinity_plot(title: &str, names: &[String], affinities: &[f64], groups: &[Vec<usize>]) -> String {
    let order: Vec<usize> = groups.iter().flatten().copied().collect();
    let tasks = names.len();
    let at = |row: usize, column: usize| affinities[row * tasks + column];
    // What a step does to its own task is larger than the rest, and would leave that pale.
    let others = (0..tasks * tasks).filter(|index| index / tasks != index % tasks);
    let most = others
        .map(|index| affinities[index].abs())
        .fold(f64::MIN_POSITIVE, f64::max);
    let side = CELL * tasks as f64;
    let (width, height) = (NAMES + side + 20.0, 60.0 + NAMES + side + 20.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<title>{0}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"600\" fill=\"#1a1a1a\">{0}</text>\n\
         <text x=\"12\" y=\"42\" fill=\"#555555\">Share of a column's loss that a step for the row's task takes off, %</text>\n",
        escape(title)
    );
    let top = 60.0 + NAMES;
    for (place, &task) in order.iter().enumerate() {
        let middle = CELL * (place as f64 + 0.5);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#1a1a1a\">{}</text>",
            NAMES - 8.0,
            top + middle + 4.0,
            escape(&names[task])
        );
        let _ = writeln!(
            svg,
            "<text transform=\"translate({:.1} {:.1}) rotate(-45)\" fill=\"#1a1a1a\">{}</text>",
            NAMES + middle - 4.0,
            top - 8.0,
            escape(&names[task])
        );
        for (column, &other) in order.iter().enumerate() {
            let value = at(task, other);
            let share = (value / most).clamp(-1.0, 1.0);
            // From white to blue where it helps, to red where it harms.
            let (strong, pale) = (share.abs(), |full: f64| 255.0 - share.abs() * (255.0 - full));
            let colour = match share >= 0.0 {
                true => [pale(33.0), pale(102.0), pale(172.0)],
                false => [pale(178.0), pale(24.0), pale(43.0)],
            };
            let [x, y] = [NAMES + CELL * column as f64, top + CELL * place as f64];
            let [red, green, blue] = colour.map(f64::round);
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{CELL:.1}\" height=\"{CELL:.1}\" fill=\"rgb({red},{green},{blue})\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{}\">{:+.2}</text>",
                x + CELL / 2.0,
                y + CELL / 2.0 + 4.0,
                if strong > 0.55 { "#ffffff" } else { "#1a1a1a" },
                100.0 * value
            );
        }
    }
    let mut first = 0;
    for group in groups {
        let [from, length] = [CELL * first as f64, CELL * group.len() as f64];
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{length:.1}\" fill=\"none\" stroke=\"#1a1a1a\" \
             stroke-width=\"2\"/>",
            NAMES + from,
            top + from
        );
        first += group.len();
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stand_together() {
        let names = ["a", "b<", "c"].map(str::to_owned);
        let affinities = [0.3, -0.1, 0.2, -0.1, 0.3, -0.2, 0.2, -0.1, 0.3];
        let groups = [vec![0, 2], vec![1]];
        let table = affinity_table(&names, &affinities, &groups);
        assert!(table.contains("a, c | b<") && table.contains("+20.000"), "{table}");
        let plot = affinity_plot("x & y", &names, &affinities, &groups);
        assert!(plot.contains("x &amp; y") && plot.contains("b&lt;") && !plot.contains("b<<"));
        assert_eq!(plot.matches("stroke-width").count(), 2);
    }
}
