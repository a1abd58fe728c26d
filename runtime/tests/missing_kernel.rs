//! A build without a kernel, or without learning from rewards, refuses what needs it, by name:
//! `cargo test -p pliant-runtime --no-default-features --features kernel-unary --test missing_kernel`.
#![cfg(all(feature = "kernel-unary", not(feature = "kernel-fill")))]

use pliant_runtime::image::record::{Opcode, Operand, Record, Space};
use pliant_runtime::image::{AdaptationSpec, AdaptationSpecError, Field, FieldKind, Objective};
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

#[test]
fn an_image_that_learns_from_rewards_is_refused_by_name() {
    let of = |objective| {
        let mut spec = AdaptationSpec::new(objective)
            .with_rows(8, 4)
            .with_fields(&[Field::new(FieldKind::Input, 1), Field::new(FieldKind::Target, 1)])
            .with_step_scales(&[1.0]);
        (spec.trajectories, spec.horizon) = (1, 1);
        spec.check()
    };
    assert_eq!(of(Objective::Supervised), Ok(()));
    assert_eq!(
        of(Objective::PolicyGradient),
        Err(AdaptationSpecError::PolicyGradientMissing)
    );
}
