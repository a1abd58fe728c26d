//! Recurrent states: carried from call to call, reset as the image says, never left broken.

mod linear;

use linear::{Bytes, Parts, binary, unary};
use pliant_runtime::image::record::{Binary, Space, Unary};
use pliant_runtime::image::{Image, ResetRule, StateEntry};
use pliant_runtime::policy::{Policy, ResetKind, Status, act_workspace_len, workspace_len};

/// Three sums of the inputs, one for each reset rule, starting at 1, 2 and 0; the output is their sum.
fn sums() -> Bytes {
    let state = |rule: ResetRule, offset: u32, initial: u32| StateEntry {
        dtype: 0,
        reset: rule as u32,
        offset,
        initial,
        shape: [1, 1, 1, 1],
    };
    let mut parts: Parts = linear::supervised([0.0; 2], &[1.0], 4);
    parts.plans.truncate(1);
    (parts.spec, parts.adapted, parts.accumulator) = (None, Vec::new(), 0);
    parts.constants = vec![1.0, 2.0];
    parts.contract.observations[0] = pliant_runtime::contract::Channel::observation("x", "");
    parts.contract.actions[0] = pliant_runtime::contract::Channel::action("sum", "");
    parts.states = vec![
        state(ResetRule::Episode, 0, 0),
        state(ResetRule::Task, 1, 1),
        state(ResetRule::Never, 2, StateEntry::ZERO),
    ];
    let (states, output) = ((Space::State, 0), (Space::Output, 0));
    parts.plans[0].records = vec![
        binary(Binary::Add, states, (states, 1), ((Space::Input, 0), 0), 3),
        unary(Unary::Identity, output, states, 1),
        binary(Binary::Add, output, (output, 1), ((Space::State, 1), 0), 1),
        binary(Binary::Add, output, (output, 1), ((Space::State, 2), 0), 1),
    ];
    parts.write()
}

#[test]
fn states_are_carried_and_reset() {
    let image = sums();
    let mut memory = vec![f32::NAN; workspace_len(&image)];
    assert_eq!(workspace_len(&image), act_workspace_len(&image), "nothing adapts");
    let image = Image::new_checked(&image).unwrap();
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let (mut actor, _) = policy.split();
    let act = |actor: &mut pliant_runtime::policy::Actor<'_, '_>, x: f32| {
        let mut action = [f32::NAN];
        (actor.act(&[x], &mut action), action[0])
    };
    assert_eq!(act(&mut actor, 1.0), (Status::Acted, 6.0));
    assert_eq!(act(&mut actor, 1.0), (Status::Acted, 9.0));
    actor.reset(ResetKind::Episode);
    // 1 | 4 | 2, and 1 each.
    assert_eq!(act(&mut actor, 1.0), (Status::Acted, 10.0));
    actor.reset(ResetKind::Task);
    // 1 | 2 | 3, and 1 each.
    assert_eq!(act(&mut actor, 1.0), (Status::Acted, 9.0));
    // A refused observation leaves the states alone.
    assert_eq!(
        act(&mut actor, f32::NAN),
        (Status::ObservationNotFinite { channel: 0 }, 0.0)
    );
    assert_eq!(act(&mut actor, 0.0), (Status::Acted, 9.0));
    actor.reset(ResetKind::All);
    assert_eq!(act(&mut actor, 0.0), (Status::Acted, 3.0));

    // States that ran out of the numbers start again: one bad step does not poison the rest.
    assert_eq!(act(&mut actor, f32::MAX).0, Status::PolicyNotFinite);
    assert_eq!(act(&mut actor, 1.0), (Status::Acted, 6.0));
}
