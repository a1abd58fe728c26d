//! A build without a kernel refuses the plan that needs it, by name:
//! `cargo test -p pliant-runtime --no-default-features --features kernel-unary --test missing_kernel`.
#![cfg(all(feature = "kernel-unary", not(feature = "kernel-fill")))]

use pliant_runtime::image::record::{Opcode, Operand, Record, Space};
use pliant_runtime::plan::{Plan, PlanError, RecordProblem, SpaceSizes};

#[test]
fn a_plan_that_needs_a_missing_kernel_is_refused_by_name() {
    let output = Operand::new(Space::Output, 0).unwrap().0;
    let mut fill = Record { words: [0; 16] };
    fill.words[..3].copy_from_slice(&[Opcode::Fill as u32, output, 4]);
    let records = [fill];
    let error = Plan::new_checked(&records, SpaceSizes::default().with(Space::Output, 4)).unwrap_err();
    assert_eq!(
        error,
        PlanError::Record {
            index: 0,
            problem: RecordProblem::KernelMissing(Opcode::Fill)
        }
    );
    assert!(error.to_string().contains("`kernel-fill`"));
}
