//! The gradient of a window of recurrent PPO: the graph of one step called in a loop, or several steps unrolled into one
//! graph. `cargo bench -p pliant-benches --bench ppo_window`; the network and the loss are those of the recipe `bandit`.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use pliant_benches::turns::{Contender, compare};
use pliant_trainer::algorithms::ppo::{Problem, loss_graph, loss_options};
use pliant_trainer::deployment;
use pliant_trainer::engine::{Engine, PlanEngine};
use pliant_trainer::envs::ActionSpace;
use pliant_trainer::recipe::{Algorithm, Source};

/// Instances side by side, and steps of a window.
const BATCH: usize = 128;
const STEPS: usize = 100;

fn ppo_window(criterion: &mut Criterion) {
    let recipe = Source::find("bandit")
        .and_then(|source| source.parse())
        .expect("it comes along");
    let Algorithm::Rl2(settings) = &recipe.algorithm else {
        panic!("the recipe is one of RL2");
    };
    let problem = Problem::new(deployment::policy(&recipe), ActionSpace::Discrete(10)).expect("ten arms");
    let mut contenders = Vec::new();
    for unroll in [1, 2, 5, 20, 100] {
        let graph = loss_graph(&problem, &settings.ppo, unroll, BATCH).expect("it builds");
        let mut program = PlanEngine::fast()
            .compile(&graph, &loss_options(&problem))
            .expect("it compiles");
        let statistics = program.statistics();
        println!(
            "{unroll} in a graph: {} records, created in {:?}",
            statistics.kernels, statistics.creation
        );
        let rows: Vec<(usize, Vec<f32>)> = (0..program.inputs().len())
            .filter(|&input| unroll > 1 && program.inputs()[input].shape.first() == Some(&unroll))
            .map(|input| (input, vec![0.1; program.inputs()[input].len()]))
            .collect();
        contenders.push(Contender::new(&format!("{unroll} in a graph"), move || {
            for _ in 0..STEPS / unroll {
                for (input, values) in &rows {
                    program.set(*input, values).expect("it fits");
                }
                program.run().expect("it runs");
            }
        }));
    }
    let title = "gradient of 100 steps of 128 bandits";
    let mut group = criterion.benchmark_group(title);
    compare(&mut group, title, &mut contenders);
    group.finish();
}

criterion_group!(benches, ppo_window);
criterion_main!(benches);
