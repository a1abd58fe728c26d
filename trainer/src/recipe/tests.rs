use super::*;

fn sinusoid() -> Source {
    Source::find("sinusoid").unwrap()
}

#[test]
fn every_embedded_recipe_is_accepted() {
    for (name, _) in EMBEDDED {
        let recipe = Source::find(name).unwrap().parse().unwrap();
        assert_eq!(recipe.name, *name);
        let again: Recipe = toml::from_str(&toml::to_string(&recipe).unwrap()).unwrap();
        assert_eq!(again, recipe, "what is written is read again as the same recipe");
    }
}

#[test]
fn unknown_fields_are_refused_by_name_and_line() {
    let mut source = sinusoid();
    source.text = source.text.replace("inner_steps = 1", "inner_step = 1");
    let message = source.parse().unwrap_err().to_string();
    assert!(message.contains("unknown field `inner_step`"), "{message}");
    assert!(message.contains("inner_steps"), "names what is expected: {message}");
    let line = source
        .text
        .lines()
        .position(|line| line.starts_with("inner_step"))
        .unwrap()
        + 1;
    assert!(message.contains(&format!("line {line},")), "{message}");
}

#[test]
fn missing_fields_and_wrong_types_are_refused() {
    let mut source = sinusoid();
    source.text = source.text.replace("inner_rate = 0.01\n", "");
    assert!(
        source
            .parse()
            .unwrap_err()
            .to_string()
            .contains("missing field `inner_rate`")
    );
    let mut source = sinusoid();
    source.text = source.text.replace("shots = 10", "shots = \"ten\"");
    assert!(source.parse().unwrap_err().to_string().contains("ten"));
}

#[test]
fn unknown_families_are_refused_with_the_known_ones() {
    let mut source = sinusoid();
    source.text = source.text.replace("[family.sinusoid]", "[family.cosinusoid]");
    let message = source.parse().unwrap_err().to_string();
    assert!(
        message.contains("cosinusoid") && message.contains("`sinusoid`"),
        "{message}"
    );
}

#[test]
fn values_out_of_range_are_refused_all_at_once_by_name_range_and_line() {
    let mut source = sinusoid();
    source.set("algorithm.maml.inner_rate=-1.0").unwrap();
    source.set("family.sinusoid.amplitude=[5.0, 0.1]").unwrap();
    source.set("algorithm.maml.optimizer.rate=nan").unwrap();
    let RecipeError::OutOfRange { problems, .. } = source.parse().unwrap_err() else {
        panic!("wrong error")
    };
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "family.sinusoid.amplitude",
            "algorithm.maml.inner_rate",
            "algorithm.maml.optimizer.rate"
        ],
        "a value that is not a number is out of every range"
    );
    let line = source
        .text
        .lines()
        .position(|line| line.starts_with("inner_rate"))
        .unwrap()
        + 1;
    assert_eq!(problems[1].line, Some(line));
    assert_eq!(problems[1].range, "greater than 0, at most 10");
    assert!(
        problems[1]
            .to_string()
            .starts_with(&format!("line {line}: `algorithm.maml.inner_rate` = -1 is out of"))
    );
}

#[test]
fn overrides_keep_comments_and_accept_bare_words() {
    let mut source = sinusoid();
    source.set("family.sinusoid.shots=5").unwrap();
    source.set("algorithm.maml.order=first").unwrap();
    source.set("algorithm.maml.optimizer.schedule=cosine").unwrap();
    let recipe = source.parse().unwrap();
    assert!(source.text.contains("# one model per shot count"));
    assert!(matches!(&recipe.family, Family::Sinusoid(family) if family.shots == 5));
    assert!(matches!(
        &recipe.algorithm,
        Algorithm::Maml(maml) if maml.order == Order::First && maml.optimizer.schedule == Schedule::Cosine
    ));
}

#[test]
fn overrides_that_lead_nowhere_are_refused() {
    let mut source = sinusoid();
    assert!(matches!(source.set("seed"), Err(RecipeError::Override { .. })));
    assert!(matches!(source.set("seed.low=1"), Err(RecipeError::Override { .. })));
    // A leaf that does not exist is found when the recipe is parsed.
    source.set("seeds=1").unwrap();
    let message = source.parse().unwrap_err().to_string();
    assert!(message.contains("unknown field `seeds`"), "{message}");
    let mut source = sinusoid();
    source.set("algorithms.maml.tasks=1").unwrap();
    let message = source.parse().unwrap_err().to_string();
    assert!(message.contains("unknown field `algorithms`"), "{message}");
    // A section that only has defaults may be missing.
    let mut source = sinusoid();
    source.set("checkpoint.every_seconds=7").unwrap();
    assert_eq!(source.parse().unwrap().checkpoint.every_seconds, 7.0);
}

#[test]
fn a_recipe_that_is_nowhere_names_the_ones_that_are() {
    let message = Source::find("no-such-recipe").unwrap_err().to_string();
    assert!(
        message.contains("no-such-recipe") && message.contains("sinusoid"),
        "{message}"
    );
}

/// The fields that are refused when these are set in a recipe.
fn refused(name: &str, settings: &[&str]) -> Vec<String> {
    let mut source = Source::find(name).unwrap();
    settings.iter().for_each(|setting| source.set(setting).unwrap());
    let error = source.parse().unwrap_err();
    let RecipeError::OutOfRange { problems, .. } = &error else {
        panic!("{error}")
    };
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_family_with_one_task_is_refused() {
    let fixed = [
        "family.sinusoid.amplitude=[2.0, 2.0]",
        "family.sinusoid.phase=[1.0, 1.0]",
    ];
    let problems = refused("sinusoid", &fixed);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].contains("`family.sinusoid.phase` = [1, 1]") && problems[0].contains("one task leaves nothing"),
        "{problems:?}"
    );
    for one in fixed {
        let mut source = sinusoid();
        source.set(one).unwrap();
        assert!(source.parse().is_ok(), "{one} leaves many tasks");
    }
}

#[test]
fn rules_that_do_not_go_with_the_policy_are_refused() {
    for (name, settings, field) in [
        ("sinusoid-cavia", &["policy.context=0"][..], "`policy.context` = 0"),
        ("sinusoid", &["policy.context=3"], "`policy.context` = 3"),
        ("sinusoid-ridge", &["policy.context=3"], "`policy.context` = 3"),
        ("sinusoid-anil", &["policy.hidden=[]"], "`policy.hidden` = []"),
        ("sinusoid-ridge", &["policy.hidden=[]"], "`policy.hidden` = []"),
        (
            "sinusoid-ridge",
            &["policy.hidden=[8, 65]"],
            "`policy.hidden` = [8, 65]",
        ),
        (
            "sinusoid-ridge",
            &["policy.hidden=[8]", "policy.memory=4"],
            "`policy.memory` = 4",
        ),
        ("sinusoid", &["policy.changes=10"], "`policy.changes` = 10"),
        (
            "sinusoid-ridge",
            &["algorithm.ridge.forgetting=1.5"],
            "`algorithm.ridge.forgetting` = 1.5",
        ),
        (
            "sinusoid-reptile",
            &["family.sinusoid.queries=41"],
            "`family.sinusoid.queries` = 41",
        ),
        (
            "sinusoid-reptile",
            &["algorithm.reptile.inner_steps=1"],
            "`algorithm.reptile.inner_steps` = 1",
        ),
    ] {
        let problems = refused(name, settings);
        assert!(
            problems.len() == 1 && problems[0].contains(field),
            "{name} with {settings:?}: {problems:?}"
        );
    }
}

#[test]
fn an_algorithm_that_does_not_train_the_family_is_refused_with_those_that_do() {
    let ridge = Source::find("sinusoid-ridge").unwrap();
    let navigation = Source::find("point-navigation").unwrap();
    let section = |text: &str, from: &str, to: &str| {
        let start = text.find(from).unwrap();
        let end = text[start..].find(to).unwrap() + start;
        text[start..end].to_owned()
    };
    let family = section(&navigation.text, "[family.navigation]", "[policy]");
    let old = section(&ridge.text, "[family.sinusoid]", "[policy]");
    let source = Source {
        origin: "mixed".into(),
        text: ridge.text.replace(&old, &family),
    };
    let message = source.parse().unwrap_err().to_string();
    assert!(
        message.contains("`[family.navigation]` cannot be trained by `[algorithm.ridge]`")
            && message.contains("use `[algorithm.maml-policy-gradient]`"),
        "{message}"
    );
}
