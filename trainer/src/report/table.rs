//! The adaptation table, at most 80 columns wide.

use std::fmt::Write;

use crate::eval::{AdaptationStep, Evaluation};

/// The evaluation as a table: one line a number of adaptation steps.
///
/// ```
/// use pliant_trainer::eval::{AdaptationStep, Evaluation};
/// let evaluation = Evaluation {
///     family: "sinusoid".into(), engine: "device image".into(), tasks: 3, seed: 0,
///     metric: "mean squared error".into(), lower_is_better: true,
///     adaptation: vec![AdaptationStep::over_tasks(0, &[3.0, 2.0, 4.0], 0)],
///     also: vec![], refused: 0, env_steps: 0,
/// };
/// assert!(pliant_trainer::report::adaptation_table(&evaluation).contains("   0       3.000"));
/// ```
pub fn adaptation_table(evaluation: &Evaluation) -> String {
    let mut table = String::new();
    let Evaluation {
        family,
        engine,
        tasks,
        seed,
        metric,
        ..
    } = evaluation;
    // Writing to a String cannot fail.
    let _ = writeln!(table, "{family}: {metric}, {tasks} held-out tasks (seed {seed})");
    let _ = writeln!(table, "adapted by: {engine}");
    let _ = writeln!(table, "step        mean   95 % interval over tasks");
    rows(&mut table, &evaluation.adaptation);
    for also in &evaluation.also {
        let _ = writeln!(table, "{}:", also.name);
        rows(&mut table, &also.adaptation);
    }
    if evaluation.refused > 0 {
        let _ = writeln!(table, "{} adaptations were refused by the guards", evaluation.refused);
    }
    if evaluation.env_steps > 0 {
        let _ = writeln!(table, "{} environment steps", evaluation.env_steps);
    }
    table
}

fn rows(table: &mut String, steps: &[AdaptationStep]) {
    for AdaptationStep {
        step,
        mean,
        ci95: [low, high],
    } in steps
    {
        let _ = writeln!(table, "{step:4}  {mean:10.3}   [{low:.3}, {high:.3}]");
    }
}
