//! What is varied: fields of the recipe, over lists of values or ranges.

use rand_core::Rng;

use super::SweepError;
use crate::random::stream;

/// Draws of a configuration that is not there yet, before it is taken that there is none.
const TRIES: usize = 1000;

/// A field, and what it may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Vary {
    /// Path of the field.
    pub field: String,
    values: Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    List(Vec<String>),
    Range {
        low: f64,
        high: f64,
        logarithmic: bool,
        whole: bool,
    },
}

impl Vary {
    /// `FIELD=A,B,C` for a list; `FIELD=A..B` for a range, `FIELD=log:A..B` for one over orders of magnitude; whole numbers
    /// where both ends are written so.
    ///
    /// ```
    /// use pliant_trainer::sweep::Vary;
    /// assert_eq!(Vary::parse("policy.hidden=[32],[64, 64]")?.values().unwrap(), ["[32]", "[64, 64]"]);
    /// assert!(Vary::parse("algorithm.maml.optimizer.rate=log:1e-4..1e-2")?.values().is_none());
    /// assert!(Vary::parse("seed=3..1").is_err());
    /// # Ok::<(), pliant_trainer::sweep::SweepError>(())
    /// ```
    ///
    /// # Errors
    /// [`SweepError::Vary`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, SweepError> {
        let wrong = |reason: &str| SweepError::Vary(text.to_owned(), reason.to_owned());
        let form = "write it as FIELD=A,B,C or FIELD=A..B or FIELD=log:A..B";
        let (field, values) = text.split_once('=').ok_or_else(|| wrong(form))?;
        let (field, values) = (field.trim().to_owned(), values.trim());
        if field.is_empty() || values.is_empty() {
            return Err(wrong(form));
        }
        let (ends, logarithmic) = match values.strip_prefix("log:") {
            Some(ends) => (ends, true),
            None => (values, false),
        };
        let range = ends.split_once("..").filter(|_| !values.contains(['[', '"', ',']));
        let Some((low, high)) = range else {
            if logarithmic {
                return Err(wrong(form));
            }
            return Ok(Self {
                field,
                values: Values::List(list(values).ok_or_else(|| wrong("a bracket or a quote is not closed"))?),
            });
        };
        let number = |end: &str| end.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let (Some(from), Some(to)) = (number(low), number(high)) else {
            return Err(wrong("the ends of a range are numbers"));
        };
        if from >= to || (logarithmic && from <= 0.0) {
            return Err(wrong(if logarithmic {
                "the first end must be above zero and below the second"
            } else {
                "the first end must be below the second"
            }));
        }
        let whole = [low, high].iter().all(|end| end.trim().parse::<i64>().is_ok());
        Ok(Self {
            field,
            values: Values::Range {
                low: from,
                high: to,
                logarithmic,
                whole,
            },
        })
    }

    /// The values of a list.
    pub fn values(&self) -> Option<&[String]> {
        match &self.values {
            Values::List(values) => Some(values),
            Values::Range { .. } => None,
        }
    }

    fn draw(&self, random: &mut impl Rng) -> String {
        let unit = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        match &self.values {
            Values::List(values) => values[((unit * values.len() as f64) as usize).min(values.len() - 1)].clone(),
            &Values::Range {
                low,
                high,
                logarithmic,
                whole,
            } => {
                let between = |low: f64, high: f64| low + unit * (high - low);
                match (logarithmic, whole) {
                    (false, true) => format!("{}", between(low, high + 1.0).floor().min(high)),
                    (true, true) => format!("{}", between(low.ln(), high.ln()).exp().round().clamp(low, high)),
                    // Four significant digits are read and typed by people.
                    (true, false) => written(between(low.ln(), high.ln()).exp()),
                    (false, false) => written(between(low, high)),
                }
            }
        }
    }
}

/// A number to four significant digits, as TOML has floating-point numbers.
fn written(value: f64) -> String {
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    format!("{rounded:?}")
}

/// The parts between commas outside brackets and quotes.
fn list(text: &str) -> Option<Vec<String>> {
    let (mut parts, mut depth, mut quoted) = (vec![String::new()], 0i32, false);
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    let parts: Vec<String> = parts.iter().map(|part| part.trim().to_owned()).collect();
    (depth == 0 && !quoted && parts.iter().all(|part| !part.is_empty())).then_some(parts)
}

/// The configurations of a sweep, each a list of `FIELD=VALUE`: without a number of trials every combination of the lists,
/// otherwise so many different ones, drawn by the seed (Bergstra and Bengio 2012, "Random Search for Hyper-Parameter
/// Optimization").
///
/// # Errors
/// [`SweepError`]: nothing varied, a field twice, ranges without a number of trials, more trials than there are combinations.
pub fn configurations(vary: &[Vary], trials: Option<usize>, seed: u64) -> Result<Vec<Vec<String>>, SweepError> {
    if vary.is_empty() {
        return Err(SweepError::Trials(
            "nothing is varied: give --vary FIELD=A,B,C once or more".to_owned(),
        ));
    }
    for (index, one) in vary.iter().enumerate() {
        if vary[..index].iter().any(|other| other.field == one.field) {
            return Err(SweepError::Twice(one.field.clone()));
        }
    }
    let set = |one: &Vary, value: &str| format!("{}={value}", one.field);
    let Some(trials) = trials else {
        let mut all = vec![Vec::new()];
        for one in vary {
            let values = one.values().ok_or_else(|| SweepError::Range(one.field.clone()))?;
            let with = |before: &Vec<String>| {
                let next = values
                    .iter()
                    .map(|value| [before.clone(), vec![set(one, value)]].concat());
                next.collect::<Vec<_>>()
            };
            all = all.iter().flat_map(with).collect();
        }
        return Ok(all);
    };
    let mut drawn: Vec<Vec<String>> = Vec::new();
    let mut random = stream(seed, "configurations of a sweep", &[]);
    for _ in 0..trials {
        let draw = || {
            let own = vary.iter().map(|one| set(one, &one.draw(&mut random)));
            own.collect::<Vec<_>>()
        };
        let new = std::iter::repeat_with(draw)
            .take(TRIES)
            .find(|one| !drawn.contains(one));
        drawn.push(new.ok_or_else(|| {
            SweepError::Trials(format!(
                "there are only about {} different configurations, not {trials}; without --trials all are tried",
                drawn.len()
            ))
        })?);
    }
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vary(texts: &[&str]) -> Vec<Vary> {
        texts.iter().map(|text| Vary::parse(text).unwrap()).collect()
    }

    #[test]
    fn without_a_number_every_combination_is_tried() {
        let all = configurations(&vary(&["a=1,2", "b=x,[1, 2],\"p,q\""]), None, 0).unwrap();
        assert_eq!(all.len(), 6);
        assert_eq!(all[1], ["a=1", "b=[1, 2]"]);
        assert_eq!(all[5], ["a=2", "b=\"p,q\""]);
    }

    #[test]
    fn draws_are_different_inside_their_ranges_and_the_same_again() {
        let space = vary(&["a=log:1e-4..1e-1", "b=-1.0..2.0", "c=1..3", "d=log:1..1000", "e=u,v"]);
        let drawn = configurations(&space, Some(200), 7).unwrap();
        assert_eq!(drawn, configurations(&space, Some(200), 7).unwrap());
        assert_ne!(drawn, configurations(&space, Some(200), 8).unwrap());
        let value = |trial: &Vec<String>, field: usize| trial[field][2..].to_owned();
        let number = |trial: &Vec<String>, field: usize| value(trial, field).parse::<f64>().unwrap();
        assert!(drawn.iter().all(|trial| (1e-4..=1e-1).contains(&number(trial, 0))));
        assert!(drawn.iter().all(|trial| (-1.0..=2.0).contains(&number(trial, 1))));
        // Over orders of magnitude: a third in each decade.
        let first = drawn.iter().filter(|trial| number(trial, 0) < 1e-3).count();
        assert!((45..90).contains(&first), "{first}");
        for whole in 1..=3 {
            assert!(drawn.iter().any(|trial| value(trial, 2) == whole.to_string()));
        }
        assert!(drawn.iter().all(|trial| value(trial, 3).parse::<u32>().is_ok()));
        let different: std::collections::BTreeSet<_> = drawn.iter().collect();
        assert_eq!(different.len(), 200);
    }

    #[test]
    fn what_cannot_be_is_said() {
        let said = |texts: &[&str], trials| configurations(&vary(texts), trials, 0).unwrap_err().to_string();
        assert!(said(&[], None).contains("--vary"));
        assert!(said(&["a=1,2", "a=3"], None).contains("varied twice"));
        assert!(said(&["a=1.0..2.0"], None).contains("--trials"));
        assert!(said(&["a=1,2"], Some(3)).contains("2 different configurations"));
        for wrong in [
            "a",
            "=1",
            "a=",
            "a=log:0..1",
            "a=2..1",
            "a=x..y",
            "a=[1",
            "a=1,,2",
            "a=log:1,2",
        ] {
            assert!(Vary::parse(wrong).is_err(), "{wrong}");
        }
    }
}
