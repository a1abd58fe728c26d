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

/// The unit against its equations in double precision, and its state from call to call.
#[test]
fn a_gated_unit_remembers() {
    let parts = linear::gated();
    let image = parts.write();
    let mut memory = vec![f32::NAN; act_workspace_len(&image)];
    let image = Image::new_to_act(&image).unwrap();
    let mut policy = Policy::act_only(&image, None, &mut memory).unwrap();
    let (mut actor, _) = policy.split();
    let weight = |index: usize| f64::from(parts.constants[index]);
    let mut state = [0.0_f64; 2];
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for step in 0..20 {
        let raw = 0.5 * step as f32 - 3.0;
        let x = f64::from(((raw - 1.0) / 2.0).clamp(-5.0, 5.0));
        let input = |gate: usize| weight(20 + gate) + x * weight(gate);
        let recurrent = |gate: usize| {
            let products = (0..2).map(|from| state[from] * weight(6 + 6 * from + gate));
            weight(26 + gate) + products.sum::<f64>()
        };
        let next = [0, 1].map(|unit| {
            let reset = sigmoid(input(unit) + recurrent(unit));
            let update = sigmoid(input(2 + unit) + recurrent(2 + unit));
            let candidate = (input(4 + unit) + reset * recurrent(4 + unit)).tanh();
            (1.0 - update) * candidate + update * state[unit]
        });
        state = next;
        let answer = weight(32) + state[0] * weight(18) + state[1] * weight(19);
        let expected = (answer * 4.0 + 0.5).clamp(-10.0, 10.0);
        let mut action = [f32::NAN];
        assert_eq!(actor.act(&[raw], &mut action), Status::Acted);
        assert!(
            (f64::from(action[0]) - expected).abs() < 1e-4,
            "{step}: {action:?} {expected}"
        );
    }
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
