//! Quadrotors flown by the committed device image: under shifts, with adaptation in flight, on a board.

#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use pliant_runtime::adapt::in_flight::{Body, InFlight, MEMORY, QUADROTOR_X, Settings};
use pliant_runtime::contract::ContractView;
use pliant_runtime::image::{Image, crc32};
use pliant_runtime::link::{Receiver, Reply, Request, encode};
use pliant_runtime::policy::{Policy, ResetKind, act_workspace_len};
use pliant_runtime::telemetry::MAX_FRAME;
use pliant_trainer::bundle::Bundle;
use pliant_trainer::envs::Quadrotor;
use pliant_trainer::envs::quadrotor::{Shift, Variation};
use pliant_trainer::eval::{TaskRange, roll_out};
use pliant_trainer::flight::{
    Board, BoardError, HostPilot, PilotError, ShiftOptions, fly_shift, record, scores, start,
};
use pliant_trainer::tasks::Split;

fn bundle(name: &str) -> Bundle {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models").join(name);
    Bundle::open(&path).unwrap()
}

fn options(vehicles: u64) -> ShiftOptions {
    ShiftOptions {
        split: Split::Validation,
        seed: 5,
        vehicles,
        episodes: 2,
        settings: Settings::default(),
    }
}

#[test]
fn without_a_shift_the_protocol_is_the_evaluators() {
    let bundle = bundle("quadrotor");
    let image = Image::new_checked(&bundle.image).unwrap();
    let flown = fly_shift(&image, Shift::None, false, &options(12)).unwrap();
    let range = TaskRange {
        split: Split::Validation,
        seed: 5,
        tasks: 12,
    };
    let expected = roll_out(&image, &Quadrotor::new(Variation::NONE), range, 2, 1).unwrap();
    assert_eq!(flown.len(), expected.len());
    for (flown, expected) in flown.iter().flatten().zip(expected.iter().flatten()) {
        match (flown.error, expected.error) {
            (Some(metres), Some(millimetres)) => assert!((1000.0 * metres - millimetres).abs() < 1e-6),
            (flown, expected) => assert_eq!(flown.is_some(), expected.is_some()),
        }
    }
}

#[test]
fn adaptation_halves_the_error_of_a_payload_a_worn_motor_and_gusts() {
    let bundle = bundle("quadrotor");
    let image = Image::new_checked(&bundle.image).unwrap();
    for shift in [Shift::Payload, Shift::Motor, Shift::Gusts] {
        // So many, since the worn motor terminates fewer when adapting: who then survives far from the origin weighs on a mean.
        let [alone, adapting] =
            [false, true].map(|adapts| scores(&fly_shift(&image, shift, adapts, &options(200)).unwrap(), 0));
        assert!(alone.vehicles > 100);
        let ratio = adapting.error.mean / alone.error.mean;
        assert!(ratio < 0.5, "{}: {ratio}", shift.name());
    }
}

#[test]
fn what_is_not_flyable_is_left_out() {
    let bundle = bundle("quadrotor");
    let image = Image::new_checked(&bundle.image).unwrap();
    let count = |shift| fly_shift(&image, shift, false, &options(20)).unwrap().len();
    let (plain, worn) = (count(Shift::None), count(Shift::Motor));
    assert!(plain == 20 && worn < plain && worn > 5, "{worn} of {plain}");
}

#[test]
fn an_image_of_another_robot_is_refused_by_name() {
    let bundle = bundle("cart-pole");
    let image = Image::new_checked(&bundle.image).unwrap();
    let error = fly_shift(&image, Shift::None, true, &options(2)).unwrap_err();
    assert!(matches!(error, PilotError::NotAQuadrotor("position x")), "{error}");
    assert!(error.to_string().contains("models/quadrotor"));
}

/// What firmware-examples/flight-controller does, on this machine.
#[cfg(unix)]
fn board(mut stream: UnixStream, image: &[u8], spoil: bool) {
    use std::io::{Read, Write};
    let crc = crc32(image);
    let image = Image::new_checked(image).unwrap();
    let body = Body::of(&ContractView::new_checked(image.contract_bytes()).unwrap()).unwrap();
    let mut memory = vec![0.0; act_workspace_len(image.bytes())];
    let mut policy = Policy::act_only(&image, None, &mut memory).unwrap();
    let (mut actor, _) = policy.split();
    let mut memory = [0.0; MEMORY];
    let mut in_flight = InFlight::new(body, &QUADROTOR_X, Settings::default(), &mut memory);
    let (mut correction, mut estimator) = in_flight.split();
    let (mut receiver, mut byte, mut adapts) = (Receiver::new(), [0], false);
    while stream.read_exact(&mut byte).is_ok() {
        let reply = match receiver.push(byte[0]) {
            None => continue,
            Some(Err(_)) => Reply::Damaged,
            Some(Ok(Request::Hello)) => Reply::Ready { image: crc },
            Some(Ok(Request::Reset { adapt })) => {
                adapts = adapt;
                actor.reset(ResetKind::Episode);
                correction.reset();
                correction.freeze(!adapt);
                estimator.revert();
                Reply::Ready { image: crc }
            }
            Some(Ok(Request::Act { observation })) => {
                if adapts {
                    estimator.observe(&observation, correction.command());
                    let _ = estimator.adapt();
                }
                let (mut shown, mut action) = ([0.0; 22], [0.0; 4]);
                correction.show(&observation, &mut shown);
                let refused = actor.act(&shown, &mut action).is_safe_action();
                correction.drive(&mut action);
                if spoil {
                    action[2] = f32::from_bits(action[2].to_bits() ^ 1);
                }
                Reply::acted(
                    &action,
                    refused,
                    correction.parameters(|parameters| *parameters.first_chunk().unwrap()),
                )
            }
            Some(Ok(Request::Goodbye)) => Reply::Ready { image: crc },
        };
        stream.write_all(encode(&reply, &mut [0; MAX_FRAME]).unwrap()).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_board_flies_the_same_bits_and_one_bit_is_seen() {
    let bundle = bundle("quadrotor");
    let bytes: &[u8] = &bundle.image;
    let image = Image::new_checked(bytes).unwrap();
    let drawn = || start(0, Split::Validation, 1, 0, Shift::Gusts);
    let here = HostPilot::with(&image, true, Settings::default(), |pilot| record(drawn(), pilot)).unwrap();
    for spoil in [false, true] {
        let (host, device) = UnixStream::pair().unwrap();
        let there = std::thread::scope(|scope| {
            scope.spawn(|| board(device, bytes, spoil));
            let mut board = Board::open(host, crc32(bytes), Quadrotor::OBSERVATION, true).unwrap();
            let recording = record(drawn(), &mut board).unwrap();
            board.close().unwrap();
            recording
        });
        assert_eq!(here == there, !spoil);
        assert_eq!(here.checksum == there.checksum, !spoil);
    }
    let (host, device) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| board(device, bytes, false));
        let error = Board::open(host, 7, Quadrotor::OBSERVATION, true).err().unwrap();
        assert!(matches!(error, BoardError::OtherImage { bundle: 7, .. }), "{error}");
    });
}
