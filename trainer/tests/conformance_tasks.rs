//! `policy.onnx` of tasks that were learned together, which takes the task as an input, on tract: for every task the answers
//! of the device image with that task selected.

use std::path::Path;

use pliant_compiler::image::AlignedBytes;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, workspace_len};
use pliant_trainer::algorithms::{Algorithm, MultiTaskTraining};
use pliant_trainer::bundle::export;
use pliant_trainer::engine::PlanEngine;
use pliant_trainer::random::{fill_standard_normal, stream};
use pliant_trainer::recipe::{self, Source};
use pliant_trainer::tasks::task_set;
use tract_onnx::prelude::{
    DatumExt as _, Framework as _, InferenceModelExt as _, IntoArcTensor as _, IntoRunnable as _, TValue, TVec, Tensor,
    onnx,
};

/// One answer, relative to the largest.
const BAR: f32 = 1e-4;

/// Compares the two files on rows that mix the tasks. Inputs are `size` times normal noise. Gives the number of tasks.
fn compare(model: &[u8], image: &[u8], size: f32) -> usize {
    const ROWS: usize = 60;
    let bytes = AlignedBytes::new(image);
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let tasks = policy.tasks() as usize;
    let (inputs, outputs) = {
        let contract = pliant_runtime::contract::ContractView::new_checked(image.contract_bytes()).unwrap();
        (contract.observations().len(), contract.actions().len())
    };
    let mut rows = vec![0.0; ROWS * inputs];
    fill_standard_normal(&mut stream(0, "rows", &[]), &mut rows);
    rows.iter_mut().for_each(|value| *value *= size);
    let task = |row: usize| (7 * row) % tasks;

    let network = onnx()
        .model_for_read(&mut &model[..])
        .unwrap()
        .with_input_fact(0, f32::fact([ROWS, inputs]).into())
        .unwrap()
        .with_input_fact(1, i64::fact([ROWS]).into())
        .unwrap();
    let mut state = network
        .into_optimized()
        .unwrap()
        .into_runnable()
        .unwrap()
        .spawn()
        .unwrap();
    let numbers: Vec<i64> = (0..ROWS).map(|row| task(row) as i64).collect();
    let given: TVec<TValue> = [
        Tensor::from_shape(&[ROWS, inputs], &rows).unwrap(),
        Tensor::from_shape(&[ROWS], &numbers).unwrap(),
    ]
    .into_iter()
    .map(TValue::from)
    .collect();
    let answers = state.run(given).unwrap().remove(0).into_arc_tensor();
    assert_eq!(answers.shape(), [ROWS, outputs]);
    let answers = answers.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec();
    for (row, (input, answers)) in rows.chunks_exact(inputs).zip(answers.chunks_exact(outputs)).enumerate() {
        policy.select(task(row) as u32).unwrap();
        let (mut actor, _) = policy.split();
        let mut answer = vec![f32::NAN; outputs];
        assert!(!actor.act(input, &mut answer).is_safe_action());
        let largest = answer.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
        for (a, b) in answer.iter().zip(answers) {
            assert!((a - b).abs() <= BAR * largest, "row {row}: {a} against {b}");
        }
    }
    tasks
}

/// The bundles that come along: eight tasks and a spare slot; four tasks with unlike inputs and targets.
#[test]
fn bundles_answer_by_task_as_their_images() {
    for (name, tasks) in [("task-conflict", 9), ("diagnosis", 4)] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name);
        let file = |file: &str| std::fs::read(folder.join(file)).unwrap();
        assert_eq!(
            compare(&file("policy.onnx"), &file("policy.pliant"), 1.0),
            tasks,
            "{name}"
        );
    }
}

/// A trunk that is modulated by task.
#[test]
fn a_modulated_trunk_answers_as_its_image() {
    modulated("film");
}

/// Experts, their gates by task and by input.
#[test]
fn mixtures_of_experts_answer_as_their_image() {
    modulated("experts-by-task");
    modulated("experts-by-input");
}

fn modulated(conditioning: &str) {
    let mut source = Source::find("task-conflict").unwrap();
    for set in [
        "policy.hidden=[12, 12]",
        "family.task-conflict.rows=[64, 64, 64]",
        "algorithm.multi-task.shared_head=true",
        "algorithm.multi-task.iterations=50",
    ] {
        source.set(set).unwrap();
    }
    source
        .set(&format!("algorithm.multi-task.conditioning={conditioning}"))
        .unwrap();
    let recipe = source.parse().unwrap();
    let recipe::Algorithm::MultiTask(settings) = &recipe.algorithm else {
        panic!("not multi-task");
    };
    let tables = task_set(&recipe).unwrap().unwrap();
    let mut training = MultiTaskTraining::new(settings, &recipe.policy, 0, tables, &PlanEngine::fast()).unwrap();
    while training.completed() < training.iterations() {
        training.step().unwrap();
    }
    let exported = export(&recipe, &training.learned().unwrap(), 1).unwrap();
    let file = |name: &str| &exported.files.iter().find(|(file, _)| *file == name).unwrap().1;
    assert_eq!(compare(file("policy.onnx"), file("policy.pliant"), 1.0), 4);
}
