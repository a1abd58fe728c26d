//! `report.html`: one self-contained page a run. No script, no font and no picture from elsewhere.

use std::fmt::Write;

use super::chart::{Chart, escape_text as escape, style};
use super::curves::{learning_curves, score_chart};
use super::{Baseline, Results};
use crate::eval::AdaptationStep;
use crate::recipe::Recipe;
use crate::run::{MetricsLine, RunRecord};

const PAGE_STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2024;--faint:#5f6a74;--rule:#dfe3e7;--card:#f5f7f9}\
@media(prefers-color-scheme:dark){:root{--paper:#15181c;--ink:#e8eaed;--faint:#9aa4ae;--rule:#31373d;--card:#1d2126}}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:1120px;padding:24px 20px 60px;background:var(--paper);color:var(--ink);\
font:15px/1.5 system-ui,'Segoe UI',Helvetica,Arial,'DejaVu Sans',sans-serif}\
h1{font-size:26px;margin:0}h2{font-size:19px;margin:34px 0 6px}p{margin:6px 0;max-width:75ch}.wide{max-width:none}.faint{color:var(--faint)}\
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:18px 0}\
.tile{background:var(--card);border-radius:8px;padding:10px 14px}.tile b{display:block;font-size:21px}\
.tile span{color:var(--faint);font-size:13px}\
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:14px}\
.small{grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr))}\
.chart{display:block;width:100%;height:auto}\
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:8px 0;font-variant-numeric:tabular-nums}\
th,td{padding:4px 14px 4px 0;text-align:left;border-bottom:1px solid var(--rule);white-space:nowrap}\
td.n,th.n{text-align:right}th{color:var(--faint);font-weight:500}\
pre{background:var(--card);border-radius:8px;padding:12px;overflow-x:auto;font-size:13px}\
@media print{.tile,pre{border:1px solid var(--rule)}}";

/// What a page is made from.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// Its text.
    pub recipe_text: &'a str,
    /// The run.
    pub record: &'a RunRecord,
    /// What training measured.
    pub metrics: &'a [MetricsLine],
    /// What evaluation measured.
    pub results: &'a Results,
}

/// The page of a run.
pub fn page(page: &Page<'_>) -> String {
    let Page {
        recipe,
        recipe_text,
        record,
        metrics,
        results,
    } = page;
    let evaluation = &results.evaluation;
    let mut body = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        body,
        "<h1>{}</h1><p>{}.</p><p class=\"faint wide\">{} trained by {} &middot; seed {} &middot; engine {}, {} {} &middot; \
         pliant {} &middot; {}</p>",
        escape(&recipe.name),
        escape(recipe.description.trim_end_matches('.')),
        escape(&record.family),
        escape(&record.algorithm),
        record.seed,
        escape(&record.engine),
        record.threads,
        if record.threads == 1 { "thread" } else { "threads" },
        escape(&record.version),
        escape(&record.started.replace('T', " ").replace('Z', " UTC")),
    );
    body.push_str(&tiles(record, results));

    let better = if evaluation.lower_is_better { "lower" } else { "higher" };
    body.push_str("<h2>Learning and adapting</h2><div class=\"charts\">");
    let mut learning = learning_curves(metrics);
    let more = learning.split_off(learning.len().min(1));
    learning.iter().for_each(|chart| body.push_str(&chart.svg()));
    if let Some(chart) = score_chart(evaluation, &results.baselines) {
        body.push_str(&chart.svg());
    }
    // How systems go over time, where nothing adapts by steps.
    let by_steps = evaluation.adaptation.len() > 1;
    if !by_steps {
        results.samples.iter().for_each(|chart| body.push_str(&chart.svg()));
    }
    more.iter().for_each(|chart| body.push_str(&chart.svg()));
    let _ = write!(
        body,
        "</div><p class=\"faint\">Meta-training: means over neighbouring meta-iterations, each of a fresh meta-batch; the band is one \
         standard deviation over them to each side. Held-out tasks, never trained on: {better} is better; the device image runs in the \
         device runtime{}.</p>",
        if by_steps {
            "; bars are 95 % bootstrap intervals of the mean over tasks. Dashed lines do not adapt step by step"
        } else {
            ""
        }
    );
    body.push_str(&scores(results));
    if by_steps && !results.samples.is_empty() {
        body.push_str("<h2>Before and after adaptation</h2><div class=\"charts small\">");
        results.samples.iter().for_each(|chart| body.push_str(&chart.svg()));
        let _ = write!(
            body,
            "</div><p class=\"faint\">The first {} held-out tasks, mean actions of the device image.</p>",
            results.samples.len()
        );
    }
    body.push_str(&cost(results));
    let _ = write!(
        body,
        "<h2>Recipe</h2><details><summary>recipe.toml, every override included</summary><pre>{}</pre></details>\
         <p class=\"faint\">{}</p>",
        escape(recipe_text),
        escape(&record.command)
    );
    document(&recipe.name, &body)
}

/// A page of charts under a heading and a table.
pub(super) fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{}</title>\
         <style>{PAGE_STYLE}{}</style></head><body>{body}</body></html>\n",
        escape(title),
        style()
    )
}

/// Charts side by side, as wide as there is room.
pub(super) fn gallery(charts: &[Chart]) -> String {
    let charts: String = charts.iter().map(Chart::svg).collect();
    format!("<div class=\"charts\">{charts}</div>")
}

fn tiles(record: &RunRecord, results: &Results) -> String {
    let adaptation = &results.evaluation.adaptation;
    let mut text = String::from("<div class=\"tiles\">");
    let mut tile = |value: String, what: &str| {
        let _ = write!(
            text,
            "<div class=\"tile\"><b>{value}</b><span>{}</span></div>",
            escape(what)
        );
    };
    if let [first, .., last] = adaptation[..] {
        let plural = if last.step == 1 { "" } else { "s" };
        let what = match results.evaluation.unit() {
            "episode" => format!("{}, after {} episode{plural}", results.evaluation.metric, last.step),
            _ => format!(
                "{}, {} step{plural} on the device",
                results.evaluation.metric, last.step
            ),
        };
        tile(format!("{} &rarr; {}", number(first.mean), number(last.mean)), &what);
    }
    tile(
        duration(results.training.seconds),
        &format!("training, {} meta-iterations", grouped(record.completed)),
    );
    if results.training.environment_steps > 0 {
        tile(
            grouped(results.training.environment_steps),
            "environment steps of training",
        );
    }
    let cost = &results.cost;
    tile(
        format!("{} KiB", cost.flash_bytes.div_ceil(1024)),
        "flash: the device image",
    );
    tile(format!("{} KiB", cost.ram_bytes.div_ceil(1024)), "RAM to act and adapt");
    tile(grouped(cost.act_macs), "multiply-accumulates an action");
    text.push_str("</div>");
    text
}

fn scores(results: &Results) -> String {
    let evaluation = &results.evaluation;
    let steps: Vec<u32> = evaluation.adaptation.iter().map(|step| step.step).collect();
    let by_steps = steps.len() > 1;
    let mut text = format!(
        "<h2>Scores</h2><div class=\"scroll\"><table><tr><th>{}, {} held-out tasks</th>",
        if by_steps {
            escape(&evaluation.metric)
        } else {
            "Means".to_owned()
        },
        evaluation.tasks
    );
    for step in &steps {
        let unit = match evaluation.unit() {
            "episode" => "episode",
            _ => "step",
        };
        let head = match (by_steps, step) {
            (false, _) => String::new(),
            (true, 1) => format!("1 {unit}"),
            (true, step) => format!("{step} {unit}s"),
        };
        let _ = write!(text, "<th class=\"n\">{head}</th>");
    }
    text.push_str("</tr>");
    let mut row = |name: &str, scores: &[AdaptationStep]| {
        let _ = write!(text, "<tr><td>{}</td>", escape(name));
        for step in &steps {
            // A single score stands for every step.
            let score = scores.iter().find(|score| score.step == *step).or(match scores {
                [level] => Some(level),
                _ => None,
            });
            let cell = score.map_or(String::new(), |AdaptationStep { mean, ci95, .. }| {
                if ci95[0].total_cmp(&ci95[1]).is_eq() {
                    return number(*mean);
                }
                format!(
                    "{} <span class=\"faint\">({} to {})</span>",
                    number(*mean),
                    number(ci95[0]),
                    number(ci95[1])
                )
            });
            let _ = write!(text, "<td class=\"n\">{cell}</td>");
        }
        text.push_str("</tr>");
    };
    row(
        if by_steps { "meta-learned" } else { &evaluation.metric },
        &evaluation.adaptation,
    );
    for also in &evaluation.also {
        // A figure without steps is another measure.
        match also.adaptation.len() {
            1 => row(&also.name, &also.adaptation),
            _ => row(&format!("meta-learned, {}", also.name), &also.adaptation),
        }
    }
    for Baseline {
        name,
        tasks,
        adaptation,
        ..
    } in &results.baselines
    {
        let fewer = if *tasks < evaluation.tasks {
            format!(" ({tasks} tasks)")
        } else {
            String::new()
        };
        row(&format!("{name}{fewer}"), adaptation);
    }
    text.push_str("</table></div>");
    if evaluation.refused > 0 {
        let _ = write!(
            text,
            "<p class=\"faint\">The guards refused {} adaptations.</p>",
            evaluation.refused
        );
    }
    text
}

fn cost(results: &Results) -> String {
    let (cost, training) = (&results.cost, &results.training);
    let baselines: u64 = results.baselines.iter().map(|baseline| baseline.env_steps).sum();
    let rows = [
        ("flash: the device image", grouped(cost.flash_bytes), "bytes"),
        ("RAM to act and adapt", grouped(cost.ram_bytes), "bytes"),
        ("RAM to act only", grouped(cost.act_only_ram_bytes), "bytes"),
        ("parameters that adapt", grouped(cost.adapted_parameters), ""),
        ("one action", grouped(cost.act_macs), "multiply-accumulates"),
        (
            "one adaptation step, full support set",
            grouped(cost.adaptation_step_macs),
            "multiply-accumulates",
        ),
        ("training", duration(training.seconds), ""),
        ("meta-iterations", grouped(training.iterations), ""),
        ("environment steps: training", grouped(training.environment_steps), ""),
        (
            "environment steps: evaluation",
            grouped(results.evaluation.env_steps),
            "",
        ),
        ("environment steps: baselines", grouped(baselines), ""),
    ];
    let mut text = String::from("<h2>Cost</h2><div class=\"scroll\"><table>");
    for (what, value, unit) in rows.iter().filter(|(_, value, _)| value != "0") {
        let _ = write!(
            text,
            "<tr><td>{what}</td><td class=\"n\">{value}</td><td class=\"faint\">{unit}</td></tr>"
        );
    }
    text.push_str("</table></div>");
    text
}

/// A score in few characters.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        magnitude if !(1e-3..1e6).contains(&magnitude) => format!("{value:.1e}"),
        magnitude if magnitude >= 100.0 => format!("{value:.0}"),
        magnitude if magnitude >= 10.0 => format!("{value:.1}"),
        magnitude if magnitude >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
    .replace('-', "\u{2212}")
}

/// Digits in groups of three, thin spaces between.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join("\u{202f}")
}

/// Seconds as a person says them.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(grouped(14_977_445), "14\u{202f}977\u{202f}445");
        assert_eq!(grouped(7), "7");
        assert_eq!(number(-39.608), "\u{2212}39.6");
        assert_eq!(number(0.3264), "0.326");
        assert_eq!((duration(4.2), duration(343.0)), ("4.2 s".into(), "6 min".into()));
    }
}
