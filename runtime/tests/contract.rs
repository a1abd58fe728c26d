//! The contract: encoding, every fault, comparison with what is wired.

use pliant_runtime::contract::{
    Channel, ChannelKind, Contract, ContractError, ContractView, Fault, Interface, MAX_NAME, MAX_OBSERVATIONS,
    MAX_UNIT, Port, Side, Source,
};

fn contract() -> Contract {
    let mut contract = Contract::new(50.0);
    contract
        .observe(
            Channel::observation("angle", "rad")
                .with_normaliser(0.5, 2.0)
                .with_clip(3.0),
        )
        .unwrap();
    let mut previous = Channel::observation("last torque", "N m");
    previous.source = Source::PreviousAction;
    previous.max_age_ms = 40;
    contract.observe(previous).unwrap();
    let torque = Channel::action("torque", "N m")
        .with_range(-2.0, 4.0)
        .with_normaliser(1.0, 2.0)
        .with_safe(0.5);
    contract.actuate(torque).unwrap();
    let mut gear = Channel::action("gear", "")
        .with_range(1.0, 5.0)
        .with_normaliser(3.0, 1.0)
        .with_safe(1.0);
    gear.kind = ChannelKind::Discrete;
    contract.actuate(gear).unwrap();
    contract
}

fn encode(contract: &Contract) -> Result<Vec<u8>, ContractError> {
    let mut buffer = vec![0; 8192];
    contract.encode(&mut buffer).map(<[u8]>::to_vec)
}

#[test]
fn what_is_encoded_comes_back() {
    let contract = contract();
    let bytes = encode(&contract).unwrap();
    let view = ContractView::new_checked(&bytes).unwrap();
    assert_eq!(view.to_contract().unwrap(), contract);
    assert_eq!(view.observations().len(), 2);
    assert_eq!(view.actions().nth(1).unwrap().name, "gear");
    assert!(
        view.observations()
            .zip(&contract.observations)
            .all(|(view, owned)| view == owned.view())
    );
}

#[test]
fn every_truncation_and_a_longer_string_are_refused() {
    let mut bytes = encode(&contract()).unwrap();
    for length in 0..bytes.len() {
        assert!(ContractView::new_checked(&bytes[..length]).is_err(), "{length}");
    }
    bytes.push(0);
    assert_eq!(ContractView::new_checked(&bytes).unwrap_err(), ContractError::Encoding);
}

#[test]
fn every_byte_value_is_accepted_or_refused() {
    let bytes = encode(&contract()).unwrap();
    for index in 0..bytes.len() {
        for value in 0..=255 {
            let mut changed = bytes.clone();
            changed[index] = value;
            if let Ok(view) = ContractView::new_checked(&changed) {
                assert!(view.observations().count() == 2 && view.actions().count() == 2);
            }
        }
    }
}

#[test]
fn faults_are_named() {
    let fault = |change: &dyn Fn(&mut Contract)| {
        let mut changed = contract();
        change(&mut changed);
        encode(&changed).unwrap_err()
    };
    let channel = |side, index, fault| ContractError::Channel { side, index, fault };
    assert_eq!(fault(&|c| c.control_rate_hz = 0.0), ContractError::ControlRate);
    assert_eq!(fault(&|c| c.control_rate_hz = f32::NAN), ContractError::ControlRate);
    assert_eq!(
        fault(&|c| c.observations.clear()),
        ContractError::NoChannels(Side::Observation)
    );
    assert_eq!(
        fault(&|c| c.observations[1].name.clear()),
        channel(Side::Observation, 1, Fault::Name)
    );
    assert_eq!(
        fault(&|c| c.observations[0].mean = f32::NAN),
        channel(Side::Observation, 0, Fault::NotFinite)
    );
    assert_eq!(
        fault(&|c| c.observations[0].scale = 0.0),
        channel(Side::Observation, 0, Fault::Scale)
    );
    assert_eq!(
        fault(&|c| c.observations[0].clip = -1.0),
        channel(Side::Observation, 0, Fault::Scale)
    );
    assert_eq!(
        fault(&|c| c.actions[0].range = [1.0, -1.0]),
        channel(Side::Action, 0, Fault::Range)
    );
    assert_eq!(
        fault(&|c| c.actions[0].safe = 9.0),
        channel(Side::Action, 0, Fault::Safe)
    );
    assert_eq!(
        fault(&|c| c.actions[1].source = Source::Sensor),
        channel(Side::Action, 1, Fault::Source)
    );
    assert_eq!(
        contract().encode(&mut [0; 20]).unwrap_err(),
        ContractError::BufferTooShort
    );

    let mut full = Contract::new(1.0);
    for _ in 0..MAX_OBSERVATIONS {
        full.observe(Channel::observation("x", "")).unwrap();
    }
    assert_eq!(
        full.observe(Channel::observation("x", "")),
        Err(ContractError::TooManyChannels(Side::Observation))
    );
    assert_eq!(Channel::observation(&"ä".repeat(30), "").name.as_str(), "ä".repeat(12));
}

/// Whoever writes longer texts than [`Channel`] holds is refused, not cut.
#[test]
fn texts_that_are_too_long_are_refused() {
    let bytes = encode(&contract()).unwrap();
    // The rate, the number of channels, then length and letters of the first channel's name, and the same of its unit.
    let name = 5;
    let unit = name + 1 + usize::from(bytes[name]);
    assert_eq!(&bytes[name + 1..unit], b"angle");
    for (at, most, fault) in [(name, MAX_NAME, Fault::Name), (unit, MAX_UNIT, Fault::Unit)] {
        for (length, fits) in [(most, true), (most + 1, false)] {
            let more = length - usize::from(bytes[at]);
            let mut longer = bytes[..at].to_vec();
            longer.push(length as u8);
            longer.extend(core::iter::repeat_n(b'x', more));
            longer.extend(&bytes[at + 1..]);
            let refused = ContractView::new_checked(&longer).err();
            let (side, index) = (Side::Observation, 0);
            let wanted = (!fits).then_some(ContractError::Channel { side, index, fault });
            assert_eq!(refused, wanted, "{length} bytes");
        }
    }
}

#[test]
fn a_different_wiring_is_refused_at_the_channel() {
    let bytes = encode(&contract()).unwrap();
    let view = ContractView::new_checked(&bytes).unwrap();
    let observations = [Port::new("angle", "rad"), Port::new("last torque", "N m")];
    let actions = [Port::new("torque", "N m"), Port::new("gear", "")];
    let wired = Interface {
        observations: &observations,
        actions: &actions,
        control_rate_hz: 50.02,
    };
    assert_eq!(view.check(&wired), Ok(()));

    let differs = |wired: Interface<'_>| view.check(&wired).unwrap_err();
    let channel = |side, index, fault| ContractError::Channel { side, index, fault };
    let swapped = [observations[1], observations[0]];
    let degrees = [Port::new("angle", "deg"), observations[1]];
    assert_eq!(
        differs(Interface {
            observations: &swapped,
            ..wired
        }),
        channel(Side::Observation, 0, Fault::OrderDiffers)
    );
    let renamed = [Port::new("yaw", "rad"), observations[1]];
    assert_eq!(
        differs(Interface {
            observations: &renamed,
            ..wired
        }),
        channel(Side::Observation, 0, Fault::NameDiffers)
    );
    assert_eq!(
        differs(Interface {
            observations: &degrees,
            ..wired
        }),
        channel(Side::Observation, 0, Fault::UnitDiffers)
    );
    assert_eq!(
        differs(Interface {
            actions: &actions[..1],
            ..wired
        }),
        channel(Side::Action, 1, Fault::Missing)
    );
    let more = [actions[0], actions[1], actions[1]];
    assert_eq!(
        differs(Interface {
            actions: &more,
            ..wired
        }),
        channel(Side::Action, 2, Fault::Missing)
    );
    for rate in [51.0, 0.0, f32::NAN, f32::INFINITY] {
        assert_eq!(
            differs(Interface {
                control_rate_hz: rate,
                ..wired
            }),
            ContractError::ControlRate
        );
    }
}

/// The words name the channel and say what each side has: one line for a unit, an order, a name, a rate and a number.
#[test]
fn a_mismatch_is_explained() {
    let bytes = encode(&contract()).unwrap();
    let view = ContractView::new_checked(&bytes).unwrap();
    let [angle, last] = [Port::new("angle", "rad"), Port::new("last torque", "N m")];
    let actions = [Port::new("torque", "N m"), Port::new("gear", "")];
    let words = |observations: &[Port<'_>], actions: &[Port<'_>], control_rate_hz| {
        let wired = Interface {
            observations,
            actions,
            control_rate_hz,
        };
        view.explain(view.check(&wired).unwrap_err(), &wired).to_string()
    };
    assert_eq!(
        words(&[angle, Port::new("last torque", "mN m")], &actions, 50.0),
        "observation channel 1: unit differs: `last torque` in `N m` in the image, `last torque` in `mN m` in the firmware"
    );
    assert_eq!(
        words(&[last, angle], &actions, 50.0),
        "observation channel 0: order differs: `angle` in `rad` in the image, `last torque` in `N m` in the firmware"
    );
    assert_eq!(
        words(&[angle, last], &[actions[0], Port::new("pedal", "")], 50.0),
        "action channel 1: name differs: `gear` in the image, `pedal` in the firmware"
    );
    assert_eq!(
        words(&[angle, last], &actions, 100.0),
        "control rate is not above 0 or differs: 50 Hz in the image, 100 Hz in the firmware"
    );
    assert_eq!(
        words(&[angle], &actions, 50.0),
        "observation channel 1: missing on one side: `last torque` in `N m` in the image, none in the firmware"
    );
}

#[test]
fn substitutes_come_back_and_are_checked() {
    let plain = encode(&contract()).unwrap();
    let mut masked = Contract::new(50.0);
    for (index, channel) in contract().observations.into_iter().enumerate() {
        masked.observe(channel).unwrap();
        if index == 1 {
            masked.substitute(-0.25).unwrap();
            assert!(masked.substitute(1.0).is_err(), "one is enough");
        }
    }
    masked.actions = contract().actions;
    let bytes = encode(&masked).unwrap();
    // A contract without substitutes has the bytes it had before there were any.
    assert_eq!(bytes[..plain.len()], plain);
    let view = ContractView::new_checked(&bytes).unwrap();
    assert_eq!(view.to_contract().unwrap(), masked);
    assert_eq!(
        [0, 1].map(|index| view.substitutes().of_channel(index)),
        [None, Some(-0.25)]
    );
    let json = serde_json::to_string(&masked).unwrap();
    assert_eq!(serde_json::from_str::<Contract>(&json).unwrap(), masked);
    let json = serde_json::to_string(&contract()).unwrap();
    assert!(!json.contains("substitute"));
    assert_eq!(serde_json::from_str::<Contract>(&json).unwrap(), contract());

    // A count, then a channel and four bytes of a number each.
    let tail = |tail: &[u8]| ContractView::new_checked(&[&plain, tail].concat()).map(|view| view.substitutes().count());
    assert_eq!(tail(&[]), Ok(0));
    assert_eq!(tail(&[1, 0, 0, 0, 0, 0]), Ok(1));
    assert_eq!(tail(&[2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]), Ok(2));
    for refused in [
        &[0][..],
        &[1, 2, 0, 0, 0, 0],
        &[2, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0],
        &[2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0],
    ] {
        assert_eq!(tail(refused), Err(ContractError::Encoding), "{refused:?}");
    }
    let not_finite = ContractError::Channel {
        side: Side::Observation,
        index: 1,
        fault: Fault::Substitute,
    };
    assert_eq!(tail(&[1, 1, 0, 0, 0x80, 0x7f]), Err(not_finite));
}

#[test]
fn scaling_and_limits() {
    let contract = contract();
    let angle = contract.observations[0].view();
    assert_eq!(angle.normalise(1.5), (0.5, false));
    assert_eq!(angle.normalise(100.0), (3.0, true));
    assert_eq!(angle.normalise(-100.0), (-3.0, true));
    assert_eq!(angle.normalise(f32::MAX), (3.0, true));
    let torque = contract.actions[0].view();
    assert_eq!(torque.denormalise(0.25), 1.5);
    assert_eq!(torque.denormalise(10.0), 4.0);
    assert_eq!(torque.denormalise(f32::NEG_INFINITY), -2.0);
    let gear = contract.actions[1].view();
    assert_eq!(
        [-9.0, 0.4, 0.6, 9.0].map(|action| gear.denormalise(action)),
        [1.0, 3.0, 4.0, 5.0]
    );
}
