//! Bytes as telemetry: what decodes is written again as the same record.

use pliant_runtime::telemetry::{Decoder, Frame, Recorder};

/// What the fuzzer calls: the bytes as they are, and each stretch between zeros as the body of a frame with a checksum that
/// fits, so that the records behind it are reached.
pub(crate) fn run(data: &[u8]) {
    let mut decoder = Decoder::new();
    for byte in data {
        if let Some(Ok(frame)) = decoder.push(*byte) {
            check(&frame);
        }
    }
    assert!(decoder.pending() <= data.len());
    let mut payload = data.get(..256).unwrap_or(data).to_vec();
    payload.extend(pliant_runtime::image::crc32(&payload).to_le_bytes());
    let mut decoder = Decoder::new();
    let stuffed = stuff(&payload);
    let frames: Vec<_> = stuffed.iter().filter_map(|byte| decoder.push(*byte)).collect();
    assert_eq!((frames.len(), decoder.pending()), (1, 0));
    if let Ok(frame) = &frames[0] {
        check(frame);
    }
}

/// Written again and read again it is the same, bit for bit.
fn check(frame: &Frame) {
    let mut log = Vec::new();
    let mut recorder = Recorder::new(|bytes: &[u8]| {
        log.extend_from_slice(bytes);
        true
    });
    assert!(recorder.record(&frame.record));
    let mut decoder = Decoder::new();
    let again = log.iter().find_map(|byte| decoder.push(*byte));
    let again = again.expect("a frame").expect("a whole one").record;
    // Compared as text: NaN is not equal to itself.
    assert_eq!(format!("{again:?}"), format!("{:?}", frame.record));
}

/// Byte stuffing as the paper has it, for the test.
fn stuff(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = payload;
    loop {
        let run = rest.iter().take(254).position(|byte| *byte == 0);
        let length = run.unwrap_or(rest.len().min(254));
        out.push(length as u8 + 1);
        out.extend_from_slice(&rest[..length]);
        match run {
            Some(at) => rest = &rest[at + 1..],
            None if rest.len() > 254 => rest = &rest[254..],
            None => break,
        }
    }
    out.push(0);
    out
}
