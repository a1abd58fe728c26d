//! Text as a recipe: a recipe or an error that names what is wrong; a recipe is written and read again as the same.

use pliant_trainer::recipe::Source;

/// What the fuzzer calls.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // The first line may set something, as `--set` does.
    let (assignment, rest) = text.split_once('\n').unwrap_or(("", &text));
    for text in [&*text, rest] {
        let mut source = Source {
            origin: "fuzz".to_owned(),
            text: text.to_owned(),
        };
        if text.len() == rest.len() {
            let _ = source.set(assignment);
        }
        match source.parse() {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(recipe) => {
                let written = toml::to_string(&recipe).expect("a recipe is TOML");
                let again = Source {
                    origin: "again".to_owned(),
                    text: written,
                };
                assert_eq!(again.parse().expect("what was written is read"), recipe);
            }
        }
    }
}
